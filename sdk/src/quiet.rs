//! Saying less: silence after an alarm, two limits instead of one, and finding out that a thing flaps.

use serde::{Deserialize, Serialize};

/// Says a thing once, and then nothing until it has been calm for so many samples in a row.
///
/// ```
/// # use tidegate_sdk::prelude::*;
/// let mut alarm = Quiet::until_calm_for(3);
/// assert!(alarm.sample(true)); // say it
/// assert!(!alarm.sample(true));
/// assert!(!alarm.sample(false));
/// assert!(!alarm.sample(true)); // not calm for long enough: the count begins anew
/// for _ in 0..3 {
///     assert!(!alarm.sample(false));
/// }
/// assert!(alarm.sample(true));
/// assert_eq!(alarm.take_held_back(), 2);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quiet {
    samples: u32,
    /// So many calm samples are missing until it may sound again.
    missing: u32,
    held_back: u64,
}

impl Quiet {
    /// Sounds again after that many samples without a trigger; with 0 it sounds each time.
    pub fn until_calm_for(samples: u32) -> Self {
        Self { samples, missing: 0, held_back: 0 }
    }

    /// Takes a sample, which triggers the alarm or not; returns whether to sound it.
    #[must_use]
    pub fn sample(&mut self, triggered: bool) -> bool {
        if !triggered {
            self.missing = self.missing.saturating_sub(1);
            return false;
        }
        let sounds = self.missing == 0;
        self.missing = self.samples;
        self.held_back += u64::from(!sounds);
        sounds
    }

    /// Whether it would be silent if the next sample triggered.
    pub fn is_silent(&self) -> bool {
        self.missing > 0
    }

    /// How many triggers were not said since this was last asked.
    pub fn take_held_back(&mut self) -> u64 {
        std::mem::take(&mut self.held_back)
    }
}

/// Two limits instead of one: on beyond the first, off beyond the second, and in between as it was. What wavers about one
/// limit is said once.
///
/// ```
/// # use tidegate_sdk::prelude::*;
/// let mut hot = Hysteresis::above(90.0, 80.0);
/// assert_eq!(hot.set(85.0), None);
/// assert_eq!(hot.set(91.0), Some(true));
/// assert_eq!(hot.set(89.0), None); // still hot
/// assert_eq!(hot.set(79.0), Some(false));
///
/// let mut full = Hysteresis::below(10.0, 20.0); // per cent that are free
/// assert_eq!(full.set(9.0), Some(true));
/// assert_eq!(full.set(15.0), None);
/// assert!(full.is_on());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hysteresis {
    on: f64,
    off: f64,
    below: bool,
    is_on: bool,
}

impl Hysteresis {
    /// On above the first limit, off below the second, which is lower.
    pub fn above(on: f64, off: f64) -> Self {
        Self { on, off: off.min(on), below: false, is_on: false }
    }

    /// On below the first limit, off above the second, which is higher.
    pub fn below(on: f64, off: f64) -> Self {
        Self { on, off: off.max(on), below: true, is_on: false }
    }

    /// Takes the present value; returns whether it is on if that has changed. NaN changes nothing.
    #[must_use = "this is where a change is told"]
    pub fn set(&mut self, value: f64) -> Option<bool> {
        let (on, off) = match self.below {
            true => (value < self.on, value > self.off),
            false => (value > self.on, value < self.off),
        };
        let changes = if self.is_on { off } else { on };
        self.is_on ^= changes;
        changes.then_some(self.is_on)
    }

    /// Whether it is on.
    pub fn is_on(&self) -> bool {
        self.is_on
    }
}

/// So many changes are looked at: those between the last 21 samples.
const LOOKS_AT: u32 = 20;

/// Whether a thing changes so often that its changes are not worth telling.
///
/// As Nagios has it (`base/flapping.c`): of the last 21 samples, how many of the 20 steps from one to the next were changes,
/// in per cent, where the oldest step weighs 0.75, the newest 1.25 and those between in proportion. It begins to flap at the
/// high limit and has ended at the low one; Nagios comes with 5 and 20.
///
/// It counts samples and not time: a thing that speaks once in an hour needs hours to be calm again.
///
/// ```
/// # use tidegate_sdk::prelude::*;
/// let mut flapping = Flapping::starting(State::Ok, 5.0, 20.0);
/// assert_eq!(flapping.set(State::Critical), None);
/// assert_eq!(flapping.set(State::Ok), None);
/// assert_eq!(flapping.set(State::Critical), None);
/// assert_eq!(flapping.set(State::Ok), Some(true)); // four changes in a row: 24 %
/// for _ in 0..18 {
///     assert_eq!(flapping.set(State::Ok), None);
/// }
/// assert_eq!(flapping.set(State::Ok), Some(false)); // one of them is left, and it is old
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Flapping<T> {
    last: T,
    low: f64,
    high: f64,
    /// One bit for each step, the newest lowest.
    changes: u32,
    is_flapping: bool,
}

impl<T: PartialEq> Flapping<T> {
    /// Begins calm and with this value. The limits are in per cent.
    pub fn starting(value: T, low: f64, high: f64) -> Self {
        Self { last: value, low: low.min(high), high, changes: 0, is_flapping: false }
    }

    /// Takes a sample; returns whether it flaps if that has changed.
    #[must_use = "this is where the beginning and the end of flapping are told"]
    pub fn set(&mut self, value: T) -> Option<bool> {
        let changed = u32::from(value != self.last);
        self.changes = (self.changes << 1 | changed) & ((1 << LOOKS_AT) - 1);
        self.last = value;
        let percent = self.percent();
        let is_flapping = if self.is_flapping { percent > self.low } else { percent >= self.high };
        let changes = is_flapping != self.is_flapping;
        self.is_flapping = is_flapping;
        changes.then_some(is_flapping)
    }

    /// How much it changes, in per cent: 0 for never, 100 for at each sample.
    pub fn percent(&self) -> f64 {
        let steps = (0..LOOKS_AT).filter(|step| self.changes >> step & 1 == 1);
        let weight = |age: u32| 1.25 - 0.5 * f64::from(age) / f64::from(LOOKS_AT - 1);
        steps.fold(0.0, |sum, step| sum + weight(step)) * 100.0 / f64::from(LOOKS_AT)
    }

    /// Whether it flaps.
    pub fn is_flapping(&self) -> bool {
        self.is_flapping
    }

    /// The last sample.
    pub fn get(&self) -> &T {
        &self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn strange_limits_and_values_do_no_harm() {
        let mut swapped = Hysteresis::above(80.0, 90.0); // as if both were 80
        assert_eq!(swapped.set(85.0), Some(true));
        assert_eq!(swapped.set(f64::NAN), None);
        assert_eq!(swapped.set(80.0), None);
        assert_eq!(swapped.set(79.0), Some(false));
        let mut each = Quiet::until_calm_for(0);
        assert!(each.sample(true) && each.sample(true));
    }

    proptest! {
        #[test]
        fn a_quiet_alarm_sounds_after_so_many_calm_samples(
            samples in 1u32..5,
            triggers in prop::collection::vec(any::<bool>(), 0..80),
        ) {
            let mut alarm = Quiet::until_calm_for(samples);
            for (at, triggered) in triggers.iter().enumerate() {
                let earlier = triggers[..at].iter().rposition(|triggered| *triggered);
                let calm = earlier.is_none_or(|earlier| at - earlier > samples as usize);
                prop_assert_eq!(alarm.sample(*triggered), *triggered && calm);
            }
        }

        #[test]
        fn flapping_is_the_weighted_part_of_the_last_twenty_steps(
            values in prop::collection::vec(0u8..2, 0..80),
        ) {
            let mut flapping = Flapping::starting(0, 5.0, 20.0);
            let mut all = vec![0u8; 21];
            let mut flaps = false;
            for value in values {
                all.push(value);
                let last = &all[all.len() - 21..];
                let weighted: f64 = (1..21)
                    .filter(|at| last[*at] != last[at - 1])
                    .map(|at| 0.75 + 0.5 * (at - 1) as f64 / 19.0)
                    .sum();
                let told = flapping.set(value);
                let percent = weighted * 100.0 / 20.0;
                prop_assert!((flapping.percent() - percent).abs() < 1e-9);
                let now = if flaps { percent > 5.0 } else { percent >= 20.0 };
                prop_assert_eq!(told, (now != flaps).then_some(now));
                flaps = now;
            }
        }
    }
}
