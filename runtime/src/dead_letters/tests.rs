//! What is kept, what is not kept twice, what survives, and what has to go.

use super::*;
use tidegate_event::{Batch, BatchBuilder, NewEvent};

fn event(service: &str) -> Batch {
    let mut builder = BatchBuilder::new();
    builder.push(&NewEvent { service: Some(service), ..NewEvent::default() });
    builder.finish()
}

fn rule(position: u64, service: &str) -> Letter {
    let from = Sender::Rule {
        rule: "picky".into(),
        generation: 3,
        module: "b3:6f1c".into(),
        kind: "trap".into(),
        during: "in on_event".into(),
    };
    Letter::of_rule(position, from, "panicked at src/lib.rs:7: no".into(), clock::now(), &event(service))
}

fn output(id: &str) -> Letter {
    let from = Sender::Output { output: "hook".into(), rule: "picky".into(), declared: "pager".into(), n: 0 };
    let (id, message) = (id.to_owned(), "answered 400".to_owned());
    Letter { id, from, message, position: 7, at: clock::now(), event: Some(event("a")) }
}

struct Folder {
    folder: tempfile::TempDir,
    keep: Keep,
    stats: Arc<LetterStats>,
}

impl Folder {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), keep: Keep::default(), stats: Arc::default() }
    }

    fn open(&mut self) -> DeadLetters {
        self.stats = Arc::default();
        DeadLetters::open(self.folder.path(), self.keep, self.stats.clone()).unwrap()
    }

    fn assert_balances(&self) {
        let stats = &self.stats;
        let parts = stats.kept.get() as u64 + stats.removed.get() + stats.evicted.get();
        assert_eq!(stats.written.get(), parts, "{stats:?}");
    }
}

fn ids(letters: &DeadLetters) -> Vec<String> {
    let page = letters.list(&Wanted { limit: usize::MAX, ..Wanted::default() });
    page.letters.iter().map(|(_, letter)| letter.id.clone()).collect()
}

#[test]
fn letters_survive_a_restart_whole_and_a_removed_one_stays_removed() {
    let mut folder = Folder::new();
    let letters = folder.open();
    letters.note(5, vec![rule(5, "a"), rule(5, "b")], false);
    letters.note(9, vec![rule(9, "a")], false);
    let all = ids(&letters);
    assert_eq!(all.len(), 3);
    let (number, first) = letters.get(&all[0]).unwrap();
    assert!(letters.remove(number) && !letters.remove(number));
    folder.assert_balances();
    let letters = folder.open();
    assert_eq!(ids(&letters), all[1..]);
    let (_, second) = letters.get(&all[1]).unwrap();
    assert_eq!(*second, Letter { at: second.at, ..rule(5, "b") });
    assert_eq!(first.position, 5);
    folder.assert_balances();
}

#[test]
fn a_replay_of_the_log_brings_back_neither_what_is_there_nor_what_was_removed() {
    let mut folder = Folder::new();
    let letters = folder.open();
    letters.note(5, vec![rule(5, "a")], false);
    letters.note(9, vec![rule(9, "b")], false);
    let all = ids(&letters);
    let (number, _) = letters.get(&all[1]).unwrap();
    letters.remove(number);
    let letters = folder.open();
    letters.note(5, vec![rule(5, "a")], true);
    letters.note(9, vec![rule(9, "b")], true);
    assert_eq!(ids(&letters), all[..1]);
    letters.note(10, vec![rule(10, "c")], true);
    assert_eq!(ids(&letters).len(), 2, "what the crash kept from being written is written now");
    // The power went, and with it the end of the log: its positions are used again.
    let letters = folder.open();
    letters.begin(4);
    letters.note(5, vec![rule(5, "other")], true);
    assert_eq!(ids(&letters).len(), 3);
}

#[tokio::test]
async fn an_output_that_fails_again_has_one_letter_and_the_old_one_can_be_removed_after_that() {
    let mut folder = Folder::new();
    let letters = Arc::new(folder.open());
    letters.store(vec![output("7:picky:0@hook")]).await;
    let (before, _) = letters.get("7:picky:0@hook").unwrap();
    letters.store(vec![Letter { message: "answered 413".into(), ..output("7:picky:0@hook") }]).await;
    assert!(!letters.remove(before), "it is not there any more");
    assert_eq!(letters.get("7:picky:0@hook").unwrap().1.message, "answered 413");
    folder.assert_balances();
    let letters = folder.open();
    assert_eq!(letters.get("7:picky:0@hook").unwrap().1.message, "answered 413");
    assert_eq!(ids(&letters).len(), 1);
}

#[test]
fn a_flipped_bit_costs_one_letter_and_is_counted() {
    let mut folder = Folder::new();
    let letters = folder.open();
    for position in 1..=5 {
        letters.note(position, vec![rule(position, "a")], false);
    }
    let all = ids(&letters);
    let path = std::fs::read_dir(folder.folder.path()).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    std::fs::write(&path, bytes).unwrap();
    let letters = folder.open();
    let left = ids(&letters);
    assert_eq!((left.len(), folder.stats.errors.get()), (4, 1));
    assert!(left.iter().all(|id| all.contains(id)));
}

#[test]
fn bytes_are_bounded_and_the_oldest_go_first() {
    let mut folder = Folder::new();
    folder.keep.bytes = 128 << 10;
    let letters = folder.open();
    for position in 1..=2000 {
        letters.note(position, vec![rule(position, "a")], false);
    }
    let left = ids(&letters);
    let written: u64 = std::fs::read_dir(folder.folder.path())
        .unwrap()
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum();
    assert!(written <= folder.keep.bytes, "{written}");
    assert!(left.len() > 100 && left.last().unwrap().starts_with("2000:"), "{}", left.len());
    assert!(folder.stats.evicted.get() > 0);
    folder.assert_balances();
    let letters = folder.open();
    assert_eq!(ids(&letters), left);
    letters.note(1, vec![rule(1, "a")], true);
    assert_eq!(ids(&letters), left, "what had to go does not come back");
}

#[test]
fn letters_that_are_too_old_go_and_the_watermark_stays() {
    let mut folder = Folder::new();
    let letters = folder.open();
    letters.note(5, vec![rule(5, "a")], false);
    folder.keep.age = Duration::ZERO;
    let letters_later = folder.open();
    drop(letters);
    assert_eq!(ids(&letters_later), Vec::<String>::new());
    assert_eq!(folder.stats.evicted.get(), 1);
    folder.keep = Keep::default();
    let letters = folder.open();
    letters.note(5, vec![rule(5, "a")], true);
    assert_eq!(ids(&letters), Vec::<String>::new());
}

#[test]
fn an_event_that_is_too_large_leaves_a_letter_without_it() {
    let letters = DeadLetters::memory(Keep { bytes: 128 << 10, ..Keep::default() }, Arc::default());
    letters.note(5, vec![rule(5, &"x".repeat(64 << 10))], false);
    let (_, letter) = letters.get(&ids(&letters)[0]).unwrap();
    assert!(letter.event.is_none() && letter.message.ends_with("too many to be kept)"), "{}", letter.message);
}

#[test]
fn pages_and_filters_tell_whether_there_is_more() {
    let letters = DeadLetters::memory(Keep::default(), Arc::default());
    for position in 1..=5 {
        letters.note(position, vec![rule(position, "a")], false);
    }
    let first = letters.list(&Wanted { limit: 3, ..Wanted::default() });
    assert_eq!((first.letters.len(), first.more, first.total), (3, true, 5));
    let after = first.letters[2].0;
    let rest = letters.list(&Wanted { limit: 3, after, ..Wanted::default() });
    assert_eq!((rest.letters.len(), rest.more), (2, false));
    let none = letters.list(&Wanted { limit: 3, output: Some("hook".into()), ..Wanted::default() });
    assert!(none.letters.is_empty());
    let all = letters.list(&Wanted { limit: 9, rule: Some("picky".into()), ..Wanted::default() });
    assert_eq!(all.letters.len(), 5);
}
