//! How many instructions the module took for each scene, and whether that is more than somebody allows.
//!
//! Counted are the WebAssembly instructions of the calls that the scene makes, and not those of starting the module. They
//! are the same on every machine for the same module and the same scene, so a test can hold them against a number.

use crate::cli::failure::{Exit, Failure};
use crate::cli::screen::{Screen, count};
use serde_json::{Value, json};

/// What a scene took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The test, and which of its scenes if it has several.
    pub scene: String,
    /// Events that went in.
    pub events: u64,
    /// Calls in which they did; time moves in calls as well.
    pub calls: u64,
    /// Instructions of all calls.
    pub total: u64,
}

impl Counted {
    /// A scene before its first call.
    pub fn new(scene: String) -> Self {
        Self { scene, events: 0, calls: 0, total: 0 }
    }

    /// Instructions for each event, rounded up: wakes count for the events that asked for them. A scene without events is
    /// taken as one.
    pub fn per_event(&self) -> u64 {
        self.total.div_ceil(self.events.max(1))
    }

    /// For machines.
    pub fn as_json(&self) -> Value {
        let Self { scene, events, calls, total } = self;
        json!({ "scene": scene, "events": events, "calls": calls, "total": total, "per_event": self.per_event() })
    }
}

/// Prints what each scene took.
pub fn print(counted: &[Counted], screen: &Screen) -> Result<(), Failure> {
    let row = |one: &Counted| {
        let numbers = [one.events, one.calls, one.total, one.per_event()].map(|number| number.to_string());
        [vec![one.scene.clone()], numbers.to_vec()].concat()
    };
    let rows: Vec<Vec<String>> = counted.iter().map(row).collect();
    match rows.is_empty() {
        true => Ok(()),
        false => screen.table(&["scene", "events", "calls", "instructions", "per event"], &rows),
    }
}

/// Fails when a scene took more for an event than is allowed, and names all that did.
pub fn hold(counted: &[Counted], most: Option<u64>) -> Result<(), Failure> {
    let Some(most) = most else { return Ok(()) };
    let failed = |message: String| Err(Failure::say(Exit::Failed, message));
    if counted.is_empty() {
        return failed(format!(
            "--max-instructions {most} was asked for, and no test played a scene: play one with tidegate_testkit::Scene"
        ));
    }
    let over: Vec<&Counted> = counted.iter().filter(|one| one.per_event() > most).collect();
    for one in &over {
        let events = count(one.events as usize, "event");
        let (scene, each, total) = (&one.scene, one.per_event(), one.total);
        eprintln!(
            "{scene}: {each} instructions per event, at most {most} are allowed ({total} for {events})"
        );
    }
    match over.len() {
        0 => Ok(()),
        n => failed(format!(
            "{n} of {} over --max-instructions {most}: make the rule cheaper, or allow it more",
            if counted.len() == 1 {
                "1 scene is".to_owned()
            } else {
                format!("{} scenes are", counted.len())
            }
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(events: u64, total: u64) -> Counted {
        Counted { scene: "tests::a".to_owned(), events, calls: 1, total }
    }

    #[test]
    fn instructions_are_counted_for_each_event_and_rounded_up() {
        assert_eq!(counted(4, 100).per_event(), 25);
        assert_eq!(counted(4, 101).per_event(), 26);
        assert_eq!(counted(0, 101).per_event(), 101);
    }

    #[test]
    fn a_scene_may_take_what_is_allowed_and_not_one_more() {
        let scenes = [counted(2, 200), counted(1, 90)];
        hold(&scenes, None).unwrap();
        hold(&scenes, Some(100)).unwrap();
        let failure = hold(&scenes, Some(99)).unwrap_err().to_string();
        assert!(failure.contains("1 of 2 scenes are over --max-instructions 99"), "{failure}");
        let failure = hold(&scenes[..1], Some(99)).unwrap_err().to_string();
        assert!(failure.contains("1 of 1 scene is over"), "{failure}");
    }

    #[test]
    fn a_limit_that_nothing_is_held_against_is_a_mistake() {
        let failure = hold(&[], Some(5)).unwrap_err().to_string();
        assert!(failure.contains("no test played a scene"), "{failure}");
        hold(&[], None).unwrap();
    }
}
