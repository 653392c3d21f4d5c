//! A checkpoint is there when it is whole, the newest sound one is found, and what nobody needs any more goes.

use super::file::{Head, Writing, list, load, prune};
use std::fs;
use std::path::Path;
use tidegate_engine::save::{SavedState, Slice};
use tidegate_event::Timestamp;

fn head(position: u64, base: Option<u64>) -> Head {
    Head { position, now: position as i64, base, shards: 1, rules: Vec::new() }
}

fn state(key: u64, word: &str) -> SavedState {
    let state = word.as_bytes().to_vec();
    SavedState { rule: 1, schema: 1, key, wakes: vec![Timestamp(5)], state }
}

fn write(folder: &Path, head: &Head, slices: &[Slice]) {
    let mut file = Writing::begin(folder, head).unwrap();
    slices.iter().for_each(|slice| file.slice(slice).unwrap());
    file.finish().unwrap();
}

/// A whole one, two partial ones on top, and a second whole one with one on top.
fn chains(folder: &Path) {
    let all = Slice { states: vec![state(1, "a"), state(2, "b")], ..Slice::default() };
    write(folder, &head(10, None), &[all]);
    let some = Slice { states: vec![state(1, "c")], same_states: vec![(1, 2)], ..Slice::default() };
    write(folder, &head(20, Some(10)), std::slice::from_ref(&some));
    write(folder, &head(30, Some(20)), &[Slice { same_states: vec![(1, 1)], ..Slice::default() }]);
    write(folder, &head(40, None), &[Slice { states: vec![state(3, "d")], ..Slice::default() }]);
    write(
        folder,
        &head(50, Some(40)),
        &[Slice { same_states: vec![(1, 3)], states: vec![state(4, "e")], ..Slice::default() }],
    );
}

fn words(folder: &Path) -> (u64, Vec<String>) {
    let loaded = load(folder).unwrap().unwrap();
    let words = loaded.saved.states.values().map(|state| String::from_utf8(state.state.clone()).unwrap());
    (loaded.head.position, words.collect())
}

#[test]
fn a_partial_one_says_only_what_has_changed() {
    let folder = tempfile::tempdir().unwrap();
    chains(folder.path());
    assert_eq!(words(folder.path()), (50, vec!["d".into(), "e".into()]));
    fs::remove_file(folder.path().join(format!("{:020}.save", 50))).unwrap();
    fs::remove_file(folder.path().join(format!("{:020}.save", 40))).unwrap();
    assert_eq!(words(folder.path()), (30, vec!["c".into()]), "key 2 was not named again: it had gone");
}

#[test]
fn a_flipped_bit_anywhere_costs_that_checkpoint_and_those_on_top_of_it() {
    let folder = tempfile::tempdir().unwrap();
    chains(folder.path());
    let path = folder.path().join(format!("{:020}.save", 40));
    let sound = fs::read(&path).unwrap();
    for at in 0..sound.len() {
        for bit in [0, 7] {
            let mut damaged = sound.clone();
            damaged[at] ^= 1 << bit;
            fs::write(&path, &damaged).unwrap();
            let loaded = load(folder.path()).unwrap().unwrap();
            assert_eq!(loaded.head.position, 30, "byte {at}, bit {bit}");
            assert_eq!(loaded.damaged.len(), 2);
        }
        fs::write(&path, &sound[..at]).unwrap();
        assert_eq!(load(folder.path()).unwrap().unwrap().head.position, 30, "cut at {at}");
    }
}

#[test]
fn what_is_not_finished_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    assert!(load(&folder.path().join("none")).unwrap().is_none());
    let mut file = Writing::begin(folder.path(), &head(1, None)).unwrap();
    file.slice(&Slice::default()).unwrap();
    drop(file);
    assert!(load(folder.path()).unwrap().is_none());
}

#[test]
fn the_newest_and_the_one_to_fall_back_on_stay() {
    let folder = tempfile::tempdir().unwrap();
    chains(folder.path());
    write(folder.path(), &head(5, None), &[]);
    assert_eq!(
        prune(folder.path()).unwrap(),
        Some(31),
        "the log is needed from there if 40 turns out to be damaged"
    );
    assert_eq!(list(folder.path()).unwrap(), [10, 20, 30, 40, 50]);
    write(folder.path(), &head(60, None), &[]);
    assert_eq!(prune(folder.path()).unwrap(), Some(51));
    assert_eq!(list(folder.path()).unwrap(), [40, 50, 60]);
}
