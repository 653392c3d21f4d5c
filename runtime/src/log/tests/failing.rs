//! The log on a disk whose n-th call fails, for every n until none fails any more; and what comes after a failed sync.

use super::rest;
use super::sim::SimDisk;
use crate::log::{Log, LogError, Reader, Retention, Tended};
use crate::telemetry::Telemetry;
use std::sync::Arc;
use tidegate_event::Timestamp;

fn open(disk: &SimDisk, segment: u64) -> (Log, Reader, Arc<Telemetry>) {
    let telemetry = Arc::new(Telemetry::default());
    let retention = Retention { segment, ..Retention::default() };
    let (mut log, reader) = Log::on(Arc::new(disk.clone()), retention, telemetry.clone()).unwrap();
    log.by_hand();
    (log, reader, telemetry)
}

fn found(disk: &SimDisk) -> Vec<u64> {
    rest(&mut Reader::new(Arc::new(disk.clone()), false).unwrap())
}

/// Writes the next position; tells whether it was acked.
fn write(log: &mut Log, position: &mut u64) -> bool {
    log.time(*position + 1, Timestamp(0));
    let acked = log.write(Vec::new).is_ok();
    *position += u64::from(acked);
    acked
}

#[test]
fn whichever_call_fails_what_was_acked_is_there_and_the_log_goes_on() {
    for n in 1.. {
        let disk = SimDisk::default();
        let (mut log, _, _) = open(&disk, 300);
        disk.sim().fails_in = Some(n);
        let (mut position, mut refused) = (0, 0);
        while position < 20 {
            refused += u32::from(!write(&mut log, &mut position));
            log.forget_pauses();
            assert!(refused <= 1, "call {n}");
        }
        let untouched = disk.sim().fails_in.is_some();
        drop(log);
        assert_eq!(found(&disk), (1..=20).collect::<Vec<_>>(), "call {n}");
        if untouched {
            assert!(n > 20, "{n}");
            return;
        }
    }
}

#[test]
fn a_disk_that_fills_up_at_any_byte_costs_nothing_that_was_acked() {
    for room in 0..1_500 {
        let disk = SimDisk::default();
        let (mut log, _, telemetry) = open(&disk, 400);
        disk.sim().room = Some(room);
        let mut position = 0;
        while write(&mut log, &mut position) {}
        log.forget_pauses();
        let full = position;
        assert!(!write(&mut log, &mut position));
        assert!(telemetry.log.trouble().is_some());
        disk.repair();
        assert!(!write(&mut log, &mut position), "not before its pause is over");
        log.forget_pauses();
        assert!(write(&mut log, &mut position), "room {room}");
        assert_eq!(telemetry.log.trouble(), None);
        assert_eq!(found(&disk), (1..=full + 1).collect::<Vec<_>>(), "room {room}");
    }
}

#[test]
fn a_sync_that_fails_is_never_a_yes_and_what_it_was_for_is_written_again() {
    for n in 1..=50 {
        let disk = SimDisk::default();
        let (mut log, _, telemetry) = open(&disk, 300);
        let syncing = log.sync_by_hand().unwrap();
        let mut position = 0;
        for round in 1..=60 {
            write(&mut log, &mut position);
            if round == n {
                disk.sim().sync_fails = 1;
            }
            assert!(syncing.step());
            let before = log.tend(Vec::new).unwrap();
            if round == n {
                assert_eq!(before, Tended { synced: n - 1, failures: 1 }, "sync {n}");
                assert_eq!(telemetry.log.trouble(), None, "once is not a reason to stop");
                assert!(syncing.step(), "it was written again");
            }
            assert_eq!(log.tend(Vec::new).unwrap().synced, position);
        }
        assert!(telemetry.log.rewritten.get() > 0);
        disk.cut_power(n);
        assert_eq!(found(&disk), (1..=60).collect::<Vec<_>>(), "sync {n}");
    }
}

#[test]
fn after_a_second_failure_nothing_is_taken_in_until_the_disk_has_synced_everything() {
    let disk = SimDisk::default();
    let (mut log, _, telemetry) = open(&disk, 10_000);
    let syncing = log.sync_by_hand().unwrap();
    let mut position = 0;
    (0..5).for_each(|_| assert!(write(&mut log, &mut position)));
    disk.sim().sync_fails = 4;
    let newest = || disk.files().pop().unwrap().0;
    let mut last = newest();
    for failure in 1..=4 {
        syncing.step();
        log.forget_pauses();
        let tended = log.tend(Vec::new).unwrap();
        assert_eq!(tended, Tended { synced: 0, failures: failure });
        assert_eq!(write(&mut log, &mut position), failure == 1);
        assert_eq!(telemetry.log.trouble().is_some(), failure > 1);
        // The first look after the second failure waits; each later one tries with a file of its own.
        log.forget_pauses();
        log.tend(Vec::new).unwrap();
        assert_ne!(std::mem::replace(&mut last, newest()), last, "failure {failure}");
    }
    assert!(log.probe_at().is_some());
    log.time(position + 1, Timestamp(0));
    assert!(matches!(log.write(Vec::new), Err(LogError::NotYet(_))));
    assert!(syncing.step());
    assert_eq!(log.tend(Vec::new).unwrap().synced, position);
    assert_eq!((telemetry.log.trouble(), log.probe_at()), (None, None));
    assert!(write(&mut log, &mut position));
    assert!(syncing.step());
    disk.cut_power(3);
    assert_eq!(found(&disk), (1..=position).collect::<Vec<_>>());
}

#[test]
fn a_segment_whose_name_is_not_synced_is_not_yet_safe() {
    let disk = SimDisk::default();
    let (mut log, _, _) = open(&disk, 10_000);
    let syncing = log.sync_by_hand().unwrap();
    let mut position = 0;
    write(&mut log, &mut position);
    // The sync of the file succeeds, and then that of the folder fails.
    disk.sim().fails_in = Some(2);
    syncing.step();
    assert_eq!(log.tend(Vec::new).unwrap(), Tended { synced: 0, failures: 1 });
    assert!(syncing.step());
    for seed in 0..50 {
        let copy = SimDisk::default();
        let (mut log, _, _) = open(&copy, 10_000);
        let syncing = log.sync_by_hand().unwrap();
        let mut position = 0;
        write(&mut log, &mut position);
        syncing.step();
        copy.cut_power(seed);
        assert_eq!(found(&copy), [1], "seed {seed}");
    }
}
