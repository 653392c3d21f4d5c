//! What is written reads back; torn tails go, damage is contained and named, old segments make room.

mod failing;
mod lengths;
mod model;
mod sim;

use super::segment::{self, HEAD, Head, Name, RECORD_HEAD};
use super::*;
use crate::telemetry::Telemetry;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tidegate_engine::rule::Control;
use tidegate_event::{Batch, BatchBuilder, NewEvent};

fn batch(position: u64) -> Batch {
    let mut builder = BatchBuilder::new();
    let service = format!("service {position}");
    builder.push(&NewEvent { service: Some(&service), ..NewEvent::default() });
    builder.stamp(1, Timestamp(5));
    let mut batch = builder.finish();
    batch.header.position = position;
    batch
}

fn open(folder: &Path, segment: u64, keep_bytes: u64) -> (Log, Reader) {
    let retention = Retention { segment, keep_bytes, ..Retention::default() };
    Log::open(folder, retention, Arc::new(Telemetry::default())).unwrap()
}

/// Writes batches at these positions, one write each.
fn write(folder: &Path, segment: u64, positions: std::ops::RangeInclusive<u64>) {
    let (mut log, _) = open(folder, segment, u64::MAX);
    for position in positions {
        log.batch(&batch(position));
        log.write(Vec::new).unwrap();
    }
}

/// The positions that a reader still finds, each with what was written there.
fn rest(reader: &mut Reader) -> Vec<u64> {
    let mut positions = Vec::new();
    while let Some(record) = reader.read().unwrap() {
        match record {
            Record::Batch(batch) => {
                assert_eq!(batch.event(0).service().unwrap(), format!("service {}", batch.header.position));
                positions.push(batch.header.position);
            }
            Record::Emitted { batch, .. } => positions.push(batch.header.position),
            Record::Change(position, _) | Record::Time(position, _) => positions.push(position),
            Record::Catalogue(rules) => assert!(rules.is_empty()),
        }
    }
    positions
}

/// What a start finds.
fn read(folder: &Path) -> (Vec<u64>, Report) {
    let (_, mut reader) = open(folder, 1 << 20, u64::MAX);
    (rest(&mut reader), reader.report().clone())
}

fn all(to: u64) -> Vec<u64> {
    (1..=to).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Where each record of a segment ends, the head counted as one.
fn ends(bytes: &[u8]) -> Vec<usize> {
    let salt = Head::read(bytes).unwrap().salt;
    let mut ends = vec![HEAD];
    while let Some(mark) = Mark::read(&bytes[ends[ends.len() - 1]..], salt) {
        ends.push(ends[ends.len() - 1] + RECORD_HEAD + mark.len);
    }
    assert_eq!(ends[ends.len() - 1], bytes.len());
    ends
}

fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        fs::copy(&file, to.join(file.file_name().unwrap())).unwrap();
    }
}

#[test]
fn every_kind_of_record_reads_back_over_many_segments_and_restarts() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), 600, 1..=20);
    let (mut log, _) = open(folder.path(), 600, u64::MAX);
    log.emitted(20, &batch(21));
    log.time(22, Timestamp(77));
    log.change(23, &Change { now: 78, control: Control::Remove { name: "x".into() } }).unwrap();
    log.write(Vec::new).unwrap();
    let (positions, report) = read(folder.path());
    assert_eq!(positions, all(23));
    assert_eq!((report.torn, report.gaps, report.last), (0, 0, 23));
    assert!(files(folder.path()).len() > 5);
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_off_and_writing_goes_on() {
    let whole = tempfile::tempdir().unwrap();
    write(whole.path(), 1 << 20, 1..=3);
    let name = files(whole.path()).remove(0);
    let bytes = fs::read(&name).unwrap();
    let ends = ends(&bytes);
    for cut in 0..=bytes.len() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(name.file_name().unwrap()), &bytes[..cut]).unwrap();
        let (positions, report) = read(folder.path());
        // The head and the catalogue count as ends, but not as positions.
        let kept = ends.iter().filter(|end| **end <= cut).count().saturating_sub(2) as u64;
        assert_eq!(positions, all(kept), "cut at {cut}");
        let sound = ends.iter().rfind(|end| **end <= cut).copied().unwrap_or(0);
        assert_eq!((report.torn, report.gaps), ((cut - sound) as u64, 0), "cut at {cut}");
        write(folder.path(), 1 << 20, kept + 1..=6);
        let (positions, report) = read(folder.path());
        assert_eq!((positions, report.gaps), (all(6), 0), "cut at {cut}");
    }
}

#[test]
fn whatever_follows_the_last_record_is_no_record() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), 1 << 20, 1..=3);
    let name = files(folder.path()).remove(0);
    let mut bytes = fs::read(&name).unwrap();
    let len = bytes.len();
    let mut random = fastrand::Rng::with_seed(7);
    bytes.extend(std::iter::repeat_with(|| random.u8(..)).take(4096));
    fs::write(&name, &bytes).unwrap();
    let (positions, report) = read(folder.path());
    assert_eq!((positions, report.torn, report.gaps), (all(3), 4096, 0));
    assert_eq!(fs::metadata(&name).unwrap().len(), len as u64);
}

#[test]
fn a_flipped_bit_anywhere_costs_the_record_it_is_in_and_no_other() {
    let whole = tempfile::tempdir().unwrap();
    write(whole.path(), 2_000, 1..=40);
    let names = files(whole.path());
    assert!(names.len() >= 4, "{names:?}");
    let folder = tempfile::tempdir().unwrap();
    copy(whole.path(), folder.path());
    let mut random = fastrand::Rng::with_seed(4);
    for _ in 0..10_000 {
        // The end of the newest segment cannot be told from a torn tail; that is another test's.
        let name = &names[random.usize(..names.len() - 1)];
        let bytes = fs::read(name).unwrap();
        let at = random.usize(..bytes.len());
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << random.u32(..8);
        let file = folder.path().join(name.file_name().unwrap());
        fs::write(&file, &damaged).unwrap();
        let mut reader = Reader::open(folder.path(), 0).unwrap();
        let positions = rest(&mut reader);
        let report = reader.report();
        // A head is there twice, so damage to it costs nothing. The catalogue is the first record and has no position.
        let record = ends(&bytes).iter().filter(|end| **end <= at).count();
        let first = Name::parse(name.file_name().unwrap().to_str().unwrap()).unwrap().first;
        let lost = (record >= 2).then(|| first + record as u64 - 2);
        let kept: Vec<u64> = all(40).into_iter().filter(|position| Some(*position) != lost).collect();
        assert_eq!(positions, kept, "{} byte {at}", file.display());
        assert_eq!((report.missing, report.gaps), (u64::from(lost.is_some()), u64::from(record >= 1)));
        if let Some(lost) = lost {
            let gap = &report.shown[0];
            assert!(gap.from <= at as u64 && (at as u64) < gap.to, "{gap:?} {at}");
            assert_eq!(gap.missing, Some((lost, lost)));
        }
        fs::write(&file, &bytes).unwrap();
    }
}

#[test]
fn damage_at_random_never_invents_a_record_and_never_stops_the_reader() {
    let whole = tempfile::tempdir().unwrap();
    write(whole.path(), 2_000, 1..=40);
    let names = files(whole.path());
    let mut random = fastrand::Rng::with_seed(5);
    for round in 0..500 {
        let folder = tempfile::tempdir().unwrap();
        copy(whole.path(), folder.path());
        for _ in 0..random.usize(1..6) {
            let name = names[random.usize(..names.len())].file_name().unwrap();
            let file = folder.path().join(name);
            let mut bytes = fs::read(&file).unwrap_or_default();
            let from = random.usize(..=bytes.len());
            let to = (from + random.usize(..3_000)).min(bytes.len());
            match random.u8(..4) {
                0 => bytes[from..to].fill(0),
                1 => bytes[from..to].iter_mut().for_each(|byte| *byte = random.u8(..)),
                2 => drop(bytes.drain(from..to)),
                _ => bytes.truncate(from),
            }
            fs::write(&file, &bytes).unwrap();
        }
        let (positions, report) = read(folder.path());
        assert!(positions.is_sorted_by(|a, b| a < b), "round {round}: {positions:?}");
        assert!(positions.iter().all(|position| (1..=40).contains(position)));
        assert_eq!(positions.len() as u64 + report.missing, report.last, "round {round}");
    }
}

#[test]
fn segments_that_are_missing_or_have_each_others_names_cost_only_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), 600, 1..=20);
    let names = files(folder.path());
    let (one, other, aside) = (&names[1], &names[3], folder.path().join("aside"));
    fs::rename(one, &aside).unwrap();
    fs::rename(other, one).unwrap();
    fs::rename(&aside, other).unwrap();
    let (positions, report) = read(folder.path());
    assert_eq!((positions, report.gaps), (all(20), 0), "each segment knows which it is");

    let lost = Name::parse(names[2].file_name().unwrap().to_str().unwrap()).unwrap().first;
    let next = Head::read(&fs::read(one).unwrap()).unwrap().name.first;
    fs::remove_file(&names[2]).unwrap();
    let (positions, report) = read(folder.path());
    assert_eq!(positions, [all(lost - 1), (next..=20).collect()].concat());
    assert_eq!((report.missing, report.gaps), (next - lost, 1));
    assert_eq!(report.shown[0].missing, Some((lost, next - 1)));
}

#[test]
fn a_record_inside_an_event_is_no_record_even_where_the_event_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let (mut log, _) = open(folder.path(), 1 << 20, u64::MAX);
    // What somebody would send who knows the format but not the salt.
    let mut forged = Vec::new();
    segment::push(&mut forged, 0, Kind::Time, 2, &[&5i64.to_le_bytes()]);
    let forged: String = forged.iter().map(|byte| char::from(byte & 0x7f)).collect();
    let mut builder = BatchBuilder::new();
    builder.push(&NewEvent { description: Some(&forged.repeat(50)), ..NewEvent::default() });
    let mut first = builder.finish();
    first.header.position = 1;
    log.batch(&first);
    log.batch(&batch(2));
    log.write(Vec::new).unwrap();
    let name = files(folder.path()).remove(0);
    let mut bytes = fs::read(&name).unwrap();
    let ends = ends(&bytes);
    // Its head, so that not even its length is known.
    bytes[ends[1] + 5] ^= 1;
    fs::write(&name, &bytes).unwrap();
    assert_eq!(read(folder.path()).0, [2]);
}

#[test]
fn a_reader_begins_anywhere_follows_a_log_that_is_being_written_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), 600, 1..=20);
    for from in 0..=22 {
        let mut reader = Reader::open(folder.path(), from).unwrap();
        assert_eq!(rest(&mut reader), (from.max(1)..=20).collect::<Vec<_>>());
        assert_eq!(reader.report().gaps, 0);
    }
    let (mut log, _) = open(folder.path(), 600, u64::MAX);
    let mut reader = Reader::open(folder.path(), 15).unwrap();
    assert_eq!(rest(&mut reader), (15..=20).collect::<Vec<_>>());
    for position in 21..=40 {
        log.batch(&batch(position));
        log.write(Vec::new).unwrap();
        assert_eq!(rest(&mut reader), [position]);
    }
    let newest = files(folder.path()).pop().unwrap();
    let len = fs::metadata(&newest).unwrap().len();
    fs::OpenOptions::new().write(true).open(&newest).unwrap().set_len(len - 5).unwrap();
    let mut reader = Reader::open(folder.path(), 0).unwrap();
    assert_eq!(rest(&mut reader), all(39));
    assert!(reader.report().torn > 0);
    assert_eq!(fs::metadata(&newest).unwrap().len(), len - 5, "only a start cuts");
}

#[test]
fn old_segments_make_room_and_each_begins_with_the_catalogue() {
    let folder = tempfile::tempdir().unwrap();
    let (mut log, _) = open(folder.path(), 600, 3_000);
    for position in 1..=200 {
        log.batch(&batch(position));
        log.write(Vec::new).unwrap();
    }
    // Old ones go on a thread of its own, which has done what it was asked when the log has ended.
    drop(log);
    let size: u64 = files(folder.path()).iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert!(size < 4_000, "{size}");
    let (positions, report) = read(folder.path());
    assert!(positions.len() > 5 && *positions.last().unwrap() == 200);
    assert_eq!(report.gaps, 0, "what is past its retention is not missing");
    for file in files(folder.path()) {
        let bytes = fs::read(file).unwrap();
        let mark = Mark::read(&bytes[HEAD..], Head::read(&bytes).unwrap().salt).unwrap();
        assert_eq!(mark.kind, Kind::Catalogue as u8);
    }
}

#[test]
fn what_somebody_may_have_to_read_again_stays_whatever_its_size() {
    let folder = tempfile::tempdir().unwrap();
    let (mut log, _) = open(folder.path(), 1, 1);
    log.keep_from(8);
    for position in 1..=20 {
        log.batch(&batch(position));
        log.write(Vec::new).unwrap();
    }
    drop(log);
    let mut reader = Reader::open(folder.path(), 8).unwrap();
    assert!(reader.oldest().unwrap() <= 8);
    assert_eq!(rest(&mut reader), (8..=20).collect::<Vec<_>>());
    let (mut log, _) = open(folder.path(), 1, 1);
    log.batch(&batch(21));
    log.write(Vec::new).unwrap();
    drop(log);
    assert_eq!(
        Reader::open(folder.path(), 0).unwrap().oldest(),
        Some(21),
        "without a mark only the newest stays"
    );
}

#[test]
fn a_disk_that_is_away_is_an_error_and_the_log_goes_on_when_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let (mut log, _) = open(folder.path(), 1, u64::MAX);
    log.batch(&batch(1));
    log.write(Vec::new).unwrap();
    let path = folder.path().to_owned();
    fs::remove_dir_all(&path).unwrap();
    log.batch(&batch(2));
    assert!(log.write(Vec::new).unwrap_err().to_string().contains("No such file"));
    log.batch(&batch(2));
    assert!(matches!(log.write(Vec::new), Err(LogError::NotYet(_))), "it is not tried for each batch");
    fs::create_dir_all(&path).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(110));
    log.batch(&batch(2));
    log.write(Vec::new).unwrap();
    assert_eq!(read(&path).0, [2]);
}

#[test]
fn what_another_version_wrote_is_refused_by_name_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let name = folder.path().join(Name { first: 1, number: 1 }.to_string());
    let mut newer = Head { name: Name { first: 1, number: 1 }, salt: 3 }.write();
    for copy in newer.chunks_exact_mut(HEAD / 2) {
        copy[7] = 9;
        let crc = crc32c::crc32c(&copy[..24]);
        copy[24..28].copy_from_slice(&crc.to_le_bytes());
    }
    for (bytes, version) in [(&newer[..], "version 9"), (b"TGLOG\0\0\x01 and more", "version 1")] {
        fs::write(&name, bytes).unwrap();
        let error = open(folder.path(), 1 << 20, u64::MAX).1.read().unwrap_err().to_string();
        assert!(error.contains(version), "{error}");
        assert_eq!(fs::read(&name).unwrap(), bytes);
    }
}

#[test]
fn a_kind_of_record_that_only_a_newer_version_knows_is_refused_not_skipped() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), 1 << 20, 1..=2);
    let name = files(folder.path()).remove(0);
    let mut bytes = fs::read(&name).unwrap();
    let salt = Head::read(&bytes).unwrap().salt;
    let mut unknown = Vec::new();
    segment::push(&mut unknown, salt, Kind::Time, 3, &[b"whatever it may be"]);
    bytes.extend(&unknown);
    fs::write(&name, &bytes).unwrap();
    let mut reader = Reader::open(folder.path(), 3).unwrap();
    let error = reader.read().unwrap_err().to_string();
    assert!(error.contains("kind 3 at position 3") && error.contains("another version"), "{error}");
    assert_eq!(Kind::from_code(77), None);
}
