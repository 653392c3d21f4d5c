//! The parts that keep events as they came, against models that keep everything: slow, obvious, and the same answers.

use proptest::prelude::*;
use std::collections::BTreeMap;
use tidegate_sdk::folds;
use tidegate_sdk::prelude::*;
use tidegate_sdk::{
    Align, Batches, EveryN, FixedTime, Forecast, LastN, Latest, Leaders, MovingTime, Rollup, Runs, Silence,
    Slope, Stable, Standing, Ticker,
};

/// What comes, by the second at which it comes, in the order of time.
fn arrivals() -> impl Strategy<Value = Vec<(i64, i64)>> {
    proptest::collection::vec((0..4_i64, -5..5_i64), 0..60).prop_map(|steps| {
        let mut now = 0;
        steps
            .into_iter()
            .map(|(wait, value)| {
                now += wait;
                (now, value)
            })
            .collect()
    })
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn align() -> impl Strategy<Value = Align> {
    prop_oneof![Just(Align::Epoch), Just(Align::First), (0..5_i64).prop_map(|secs| Align::At(at(secs)))]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_last_few_are_the_end_of_all(values in proptest::collection::vec(0..9, 0..40), n in 0_usize..6) {
        let mut last = LastN::new(n);
        for (count, value) in values.iter().enumerate() {
            let all = &values[..=count];
            let wanted = &all[all.len().saturating_sub(n)..];
            prop_assert_eq!(last.push(*value).iter().copied().collect::<Vec<_>>(), wanted);
        }
    }

    #[test]
    fn so_many_together_are_pieces_of_all(values in proptest::collection::vec(0..9, 0..40), n in 1_usize..6) {
        let mut every = EveryN::new(n);
        let told: Vec<Vec<i32>> = values.iter().filter_map(|value| every.push(*value)).collect();
        let wanted: Vec<Vec<i32>> = values.chunks_exact(n).map(<[i32]>::to_vec).collect();
        prop_assert_eq!(told, wanted);
    }

    #[test]
    fn those_of_the_last_stretch_are_the_young_ones_of_all(
        values in proptest::collection::vec(0..30_i64, 0..40),
        span in 1..10_i64,
    ) {
        let mut window = MovingTime::new(Span::secs(span));
        for (count, time) in values.iter().enumerate() {
            let newest = *values[..=count].iter().max().unwrap();
            let taken = window.push(Some(at(*time)), *time);
            prop_assert_eq!(taken, *time > newest - span);
            // Whatever was too old when it came is older than everything that is kept later on.
            let wanted: Vec<i64> = values[..=count].iter().copied().filter(|time| *time > newest - span).collect();
            prop_assert_eq!(window.values().copied().collect::<Vec<_>>(), wanted);
        }
    }

    #[test]
    fn windows_that_the_clock_closes_hold_what_fell_into_them(events in arrivals(), every in 1..6_i64) {
        let mut windows = FixedTime::new(Span::secs(every), Align::Epoch);
        let mut told: Vec<Vec<i64>> = Vec::new();
        for (time, _) in &events {
            told.extend(windows.wake(at(*time)));
            told.extend(windows.push(Some(at(*time)), *time));
        }
        told.extend(windows.wake(Timestamp::NEVER));
        let mut wanted: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        events.iter().for_each(|(time, _)| wanted.entry(time / every).or_default().push(*time));
        prop_assert_eq!(told, wanted.into_values().collect::<Vec<_>>());
    }

    #[test]
    fn windows_as_riemann_has_them_come_with_the_empty_ones_between(events in arrivals(), every in 1..6_i64) {
        let mut windows = FixedTime::new(Span::secs(every), Align::First).open_end();
        let told: Vec<Vec<i64>> =
            events.iter().flat_map(|(time, _)| windows.push(Some(at(*time)), *time)).collect();
        let first = events.first().map_or(0, |(time, _)| *time);
        let last = events.last().map_or(0, |(time, _)| *time);
        let wanted: Vec<Vec<i64>> = (0..(last - first) / every)
            .map(|window| {
                let start = first + window * every;
                events.iter().map(|(time, _)| *time).filter(|time| (start..start + every).contains(time)).collect()
            })
            .collect();
        prop_assert_eq!(told, wanted);
    }

    #[test]
    fn batches_lose_nothing_and_none_is_too_large_or_too_late(
        events in arrivals(),
        n in 1_usize..5,
        every in 1..6_i64,
        align in align(),
    ) {
        let mut batches = Batches::new(n, Span::secs(every), align);
        let mut told: Vec<(i64, Vec<(i64, i64)>)> = Vec::new();
        for event in &events {
            while batches.due() <= at(event.0) {
                let due = batches.due().secs();
                told.extend(batches.wake(at(due)).map(|batch| (due, batch)));
            }
            told.extend(batches.push(at(event.0), *event).map(|batch| (event.0, batch)));
        }
        let due = batches.due();
        told.extend(batches.wake(due).map(|batch| (due.secs(), batch)));
        let all: Vec<(i64, i64)> = told.iter().flat_map(|(_, batch)| batch.clone()).collect();
        prop_assert_eq!(&all, &events);
        for (when, batch) in &told {
            prop_assert!(batch.len() <= n && !batch.is_empty());
            prop_assert!(when - batch[0].0 <= every);
        }
    }

    #[test]
    fn a_rollup_lets_so_many_through_and_tells_of_all_others(events in arrivals(), n in 0_u32..4, every in 1..6_i64) {
        let mut rollup = Rollup::new(n, Span::secs(every), Align::At(at(0)));
        let (mut through, mut together) = (Vec::new(), Vec::new());
        for event in &events {
            while rollup.due() <= at(event.0) {
                let due = rollup.due().secs();
                together.extend(rollup.wake(at(due)).map(|list| (due, list)));
            }
            through.extend(rollup.push(at(event.0), *event));
        }
        let due = rollup.due();
        together.extend(rollup.wake(due).map(|list| (due.secs(), list)));
        let mut all: Vec<(i64, i64)> =
            through.iter().copied().chain(together.iter().flat_map(|(_, list)| list.clone())).collect();
        let mut wanted = events.clone();
        all.sort_unstable();
        wanted.sort_unstable();
        prop_assert_eq!(all, wanted);
        for stretch in events.iter().map(|(time, _)| time / every) {
            let said = through.iter().filter(|(time, _)| time / every == stretch).count()
                + together.iter().filter(|(due, _)| due / every == stretch).count();
            prop_assert!(said <= (n as usize).max(1), "{said} in stretch {stretch}");
        }
    }

    #[test]
    fn what_is_let_go_as_stable_was_alike_for_long_enough(events in arrivals(), hold in 0..6_i64) {
        let mut stable = Stable::lasting(Span::secs(hold));
        let mut told = Vec::new();
        for (number, (time, value)) in events.iter().enumerate() {
            told.extend(stable.wake(at(*time)));
            told.extend(stable.push(at(*time), *value, number));
        }
        told.extend(stable.wake(Timestamp::NEVER));
        // A run is a stretch of like values; it lasts if the next one begins `hold` or more after it did.
        let mut wanted = Vec::new();
        let mut start = 0;
        while start < events.len() {
            let end = (start..events.len()).find(|n| events[*n].1 != events[start].1).unwrap_or(events.len());
            let until = events.get(end).map_or(i64::MAX, |(time, _)| *time);
            if until.saturating_sub(events[start].0) >= hold {
                wanted.extend(start..end);
            }
            start = end;
        }
        prop_assert_eq!(told, wanted);
    }

    #[test]
    fn silence_is_told_each_time_it_has_lasted(events in arrivals(), every in 1..5_i64) {
        let mut silence = Silence::of(Span::secs(every));
        let mut told = Vec::new();
        for (time, _) in &events {
            while silence.due() <= at(*time) {
                told.push(silence.due().secs());
                let due = silence.due();
                prop_assert!(silence.tick(due));
            }
            silence.heard(at(*time));
        }
        let wanted: Vec<i64> = events
            .windows(2)
            .flat_map(|pair| (1..).map(move |n| pair[0].0 + n * every).take_while(move |due| *due <= pair[1].0))
            .collect();
        prop_assert_eq!(told, wanted);
    }

    #[test]
    fn a_clock_ticks_from_the_first_sign_of_life_to_the_last_and_no_longer(
        start in 0..10_i64,
        every in 1..5_i64,
        life in 0..30_i64,
    ) {
        let mut clock = Ticker::new(Span::secs(every), Align::First);
        clock.alive(at(start), at(start + life));
        let ticks = (start..start + 60).filter(|now| clock.tick(at(*now))).count() as i64;
        prop_assert_eq!(ticks, life / every);
        prop_assert_eq!(clock.due(), Timestamp::NEVER);
    }

    #[test]
    fn slopes_forecasts_and_runs_agree_with_what_one_would_write_down(
        points in proptest::collection::vec((0..50_i64, -20..20_i64), 0..25),
        n in 2_usize..6,
        same in 1_u32..4,
    ) {
        let (mut slope, mut line, mut runs) = (Slope::default(), Forecast::over(n), Runs::of(same));
        for (count, (time, value)) in points.iter().enumerate() {
            let before = count.checked_sub(1).map(|before| points[before]);
            let wanted = before
                .filter(|(earlier, _)| earlier != time)
                .map(|(earlier, less)| (value - less) as f64 / (time - earlier) as f64);
            prop_assert_eq!(slope.add(at(*time), *value as f64), wanted);

            line.add(at(*time), *value as f64);
            let last = &points[(count + 1).saturating_sub(n)..=count];
            let (x, y): (Vec<f64>, Vec<f64>) = last.iter().map(|(time, value)| (*time as f64, *value as f64)).unzip();
            let of = x.len() as f64;
            let (sx, sy): (f64, f64) = (x.iter().sum(), y.iter().sum());
            let (sxx, sxy): (f64, f64) =
                (x.iter().map(|x| x * x).sum(), x.iter().zip(&y).map(|(x, y)| x * y).sum());
            let under = of * sxx - sx * sx;
            let wanted = (under > 0.5).then(|| {
                let slope = (of * sxy - sx * sy) / under;
                slope * 100.0 + (sy - slope * sx) / of
            });
            match (line.at(at(100)), wanted) {
                (Some(found), Some(wanted)) => prop_assert!((found - wanted).abs() < 1e-6 * (1.0 + wanted.abs())),
                (found, wanted) => prop_assert_eq!(found, wanted),
            }

            let like = points[..=count].iter().rev().take_while(|(_, other)| other == value).count();
            prop_assert_eq!(runs.add(*value), like >= same as usize);
        }
    }

    #[test]
    fn the_latest_of_each_kind_are_those_still_valid(
        events in proptest::collection::vec((0..5_u8, 0..30_i64, 0..99_i32), 0..40),
        now in 0..30_i64,
    ) {
        let mut latest = Latest::default();
        let mut all = BTreeMap::new();
        for (kind, until, value) in &events {
            latest.put(*kind, at(*until), *value);
            all.insert(*kind, (*until, *value));
        }
        latest.expire(at(now));
        let wanted: Vec<i32> = all.values().filter(|(until, _)| *until >= now).map(|(_, value)| *value).collect();
        prop_assert_eq!(latest.values().copied().collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn those_that_lead_are_never_more_and_nobody_outside_had_more_when_it_last_spoke(
        events in proptest::collection::vec((0..8_u8, 0..20_i32), 0..60),
        k in 1_usize..4,
    ) {
        let mut leaders = Leaders::of(k);
        let mut inside: BTreeMap<u8, i32> = BTreeMap::new();
        for (name, number) in &events {
            match leaders.put(*name, f64::from(*number), ()) {
                Standing::Leads { displaced } => {
                    if let Some((gone, ())) = displaced {
                        let least = *inside.values().min().unwrap();
                        prop_assert_eq!(inside.remove(&gone), Some(least));
                        prop_assert!(*number > least);
                    }
                    inside.insert(*name, *number);
                }
                Standing::Behind => {
                    prop_assert!(!inside.contains_key(name) && inside.len() == k);
                    prop_assert!(number <= inside.values().min().unwrap());
                }
            }
            prop_assert!(inside.len() <= k);
            prop_assert_eq!(leaders.names().copied().collect::<Vec<_>>(), inside.keys().copied().collect::<Vec<_>>());
        }
    }

    #[test]
    fn folds_pick_what_sorting_by_hand_would(numbers in proptest::collection::vec(proptest::option::of(-9..9_i64), 0..12)) {
        let given: Vec<Option<tidegate_sdk::Metric>> =
            numbers.iter().map(|number| number.map(tidegate_sdk::Metric::Int)).collect();
        let mut there: Vec<i64> = numbers.iter().flatten().copied().collect();
        there.sort_unstable();
        let value = |place: Option<usize>| place.and_then(|place| numbers[place]);
        prop_assert_eq!(value(folds::minimum(&given)), there.first().copied());
        prop_assert_eq!(value(folds::maximum(&given)), there.last().copied());
        prop_assert_eq!(value(folds::median(&given)), there.get(there.len() / 2).copied());
        prop_assert_eq!(folds::sum(&given), tidegate_sdk::Metric::Int(there.iter().sum()));
        for part in [0.0, 0.25, 0.5, 0.95, 1.0] {
            let rank = ((there.len() as f64 * part) as usize).min(there.len().saturating_sub(1));
            prop_assert_eq!(value(folds::at_rank(&folds::sorted(&given), part)), there.get(rank).copied());
        }
        let mean = there.iter().sum::<i64>() as f64 / there.len() as f64;
        prop_assert_eq!(folds::mean(&given), (!there.is_empty()).then_some(mean));
        let often = |number: &Option<i64>| numbers.iter().filter(|other| *other == number).count();
        let most = numbers.iter().map(often).max().unwrap_or(0);
        let wanted: Vec<usize> = (0..numbers.len())
            .filter(|place| often(&numbers[*place]) == most && !numbers[..*place].contains(&numbers[*place]))
            .collect();
        prop_assert_eq!(folds::modes(&given), wanted);
    }
}
