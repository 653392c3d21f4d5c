//! Events that came late: their own time lies behind the clock that they came at.

use serde::Serialize;

/// Ends of the classes, in milliseconds, with their names; beyond the last is `more`.
const CLASSES: [(i64, &str); 5] =
    [(1_000, "1s"), (10_000, "10s"), (60_000, "1m"), (600_000, "10m"), (3_600_000, "1h")];

/// How many, and how late.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Late {
    /// How many.
    pub events: u64,
    /// By how much the latest, in microseconds.
    pub most: i64,
    classes: [u64; CLASSES.len() + 1],
}

impl Late {
    /// Takes in an event that is so many microseconds late.
    pub fn add(&mut self, micros: i64) {
        self.events += 1;
        self.most = self.most.max(micros);
        let class = CLASSES.iter().position(|(end, _)| micros <= end * 1000).unwrap_or(CLASSES.len());
        self.classes[class] += 1;
    }
}

impl Serialize for Late {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Told {
            events: u64,
            most_ms: i64,
            up_to: serde_json::Map<String, serde_json::Value>,
        }
        let names = CLASSES.iter().map(|(_, name)| *name).chain(["more"]);
        let up_to = names.zip(self.classes).map(|(name, n)| (name.to_owned(), n.into())).collect();
        Told { events: self.events, most_ms: self.most / 1000, up_to }.serialize(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_counted_in_the_class_of_its_lateness() {
        let mut late = Late::default();
        for micros in [1, 1_000_000, 1_000_001, 59_000_000, 3_600_000_001] {
            late.add(micros);
        }
        let told = serde_json::to_string(&late).unwrap();
        assert_eq!(
            told,
            r#"{"events":5,"most_ms":3600000,"up_to":{"1s":2,"10s":1,"1m":1,"10m":0,"1h":0,"more":1}}"#
        );
    }
}
