//! What is written reads back; torn tails go, damage is contained, old segments make room.

use super::*;
use crate::telemetry::Telemetry;
use std::fs;
use std::path::Path;
use std::sync::Arc;
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

fn read(folder: &Path) -> (Vec<u64>, Reader) {
    let (_, mut reader) = open(folder, 1 << 20, u64::MAX);
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
    (positions, reader)
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
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
    let (positions, reader) = read(folder.path());
    assert_eq!(positions, (1..=23).collect::<Vec<_>>());
    assert_eq!((reader.torn, reader.damaged, reader.last()), (0, 0, 23));
    assert!(files(folder.path()).len() > 5);
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_off_and_writing_goes_on() {
    let whole = tempfile::tempdir().unwrap();
    write(whole.path(), 1 << 20, 1..=3);
    let bytes = fs::read(&files(whole.path())[0]).unwrap();
    let ends: Vec<usize> = {
        let mut at = 8;
        let mut ends = vec![at];
        while let Some((mark, _)) = segment::read(&bytes[at..]) {
            at += segment::RECORD_HEAD + mark.len;
            ends.push(at);
        }
        ends
    };
    for cut in 0..=bytes.len() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("00000000000000000001.log"), &bytes[..cut]).unwrap();
        let (positions, reader) = read(folder.path());
        let whole_records = ends.iter().filter(|end| **end <= cut).count().saturating_sub(2);
        assert_eq!(positions, (1..=whole_records as u64).collect::<Vec<_>>(), "cut at {cut}");
        let sound = *ends.iter().rfind(|end| **end <= cut).unwrap_or(&cut);
        assert_eq!(reader.torn, (cut - sound.min(cut)) as u64);
        write(folder.path(), 1 << 20, whole_records as u64 + 1..=6);
        assert_eq!(read(folder.path()).0, (1..=6).collect::<Vec<_>>(), "cut at {cut}");
    }
}

#[test]
fn a_flipped_bit_is_found_and_costs_no_more_than_its_segment() {
    let whole = tempfile::tempdir().unwrap();
    write(whole.path(), 600, 1..=12);
    let names = files(whole.path());
    let middle = &names[names.len() / 2];
    let bytes = fs::read(middle).unwrap();
    for at in (8..bytes.len()).step_by(7) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        fs::write(middle, &damaged).unwrap();
        let (positions, reader) = read(whole.path());
        assert!(reader.damaged > 0 || positions.len() == 12, "byte {at}");
        assert!(
            positions.len() >= 9 && positions.contains(&1) && positions.contains(&12),
            "byte {at}: {positions:?}"
        );
        assert!(positions.is_sorted());
    }
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
    let (positions, _) = read(folder.path());
    assert!(positions.len() > 5 && *positions.last().unwrap() == 200);
    for file in files(folder.path()) {
        let (mark, _) = segment::read(&fs::read(file).unwrap()[8..]).map(|(mark, _)| (mark, ())).unwrap();
        assert_eq!(mark.kind, Kind::Catalogue);
    }
}

#[test]
fn a_full_disk_is_an_error_and_nothing_of_the_write_stays() {
    let folder = tempfile::tempdir().unwrap();
    let (mut log, _) = open(folder.path(), 1 << 20, u64::MAX);
    log.batch(&batch(1));
    log.write(Vec::new).unwrap();
    let path = folder.path().to_owned();
    fs::remove_dir_all(&path).unwrap();
    log.retention.segment = 1;
    log.batch(&batch(2));
    assert!(log.write(Vec::new).unwrap_err().to_string().contains("No such file"));
    fs::create_dir_all(&path).unwrap();
    log.batch(&batch(2));
    log.write(Vec::new).unwrap();
    assert_eq!(read(&path).0, [2]);
}

#[test]
fn a_file_of_another_format_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("00000000000000000001.log"), b"TGLOG\0\0\x02 and more").unwrap();
    let (_, mut reader) = open(folder.path(), 1 << 20, u64::MAX);
    assert!(reader.read().unwrap_err().to_string().contains("not a log segment of this version"));
}

#[test]
fn old_segments_go_and_the_newest_stays_whatever_its_size() {
    let folder = tempfile::tempdir().unwrap();
    let (mut log, _) = open(folder.path(), 1, 1);
    for position in 1..=20 {
        log.batch(&batch(position));
        log.write(Vec::new).unwrap();
    }
    // It ends when all that was asked of it is done.
    drop(log);
    let left: Vec<u64> =
        super::write::segments(folder.path()).unwrap().iter().map(|(first, _)| *first).collect();
    assert_eq!(left.last(), Some(&20));
    assert!(left.len() < 20, "{left:?}");
    let (mut log, _) = open(folder.path(), 1, 1);
    log.batch(&batch(21));
    log.write(Vec::new).unwrap();
    drop(log);
    let left: Vec<u64> =
        super::write::segments(folder.path()).unwrap().iter().map(|(first, _)| *first).collect();
    assert_eq!(left, [21]);
}
