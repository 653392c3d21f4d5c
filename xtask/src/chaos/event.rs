//! The events of the oracle: all that an event says follows from its number, so that a change of it shows.

use serde_json::{Value, json};

/// Numbers of one lane: events of one connection, which keep their order.
pub const LANE: u64 = 1 << 40;

/// Streams of a lane.
pub const STREAMS: u64 = 8;

/// What their service is.
pub const SERVICE: &str = "chaos";

/// What an event with this number says.
#[derive(Debug, PartialEq)]
pub struct Said {
    /// Lane and stream.
    pub host: String,
    /// One of three.
    pub state: &'static str,
    /// A number that follows from its own.
    pub description: String,
    /// Another one.
    pub mark: String,
    /// Its own number.
    pub metric: i64,
    /// Milliseconds since 1970.
    pub time: i64,
}

/// All lanes' events are valid for so many seconds: longer than any run.
pub const TTL: f32 = 500_000.0;

/// Any number from any number, so that neighbours have nothing in common.
pub fn mix(number: u64) -> u64 {
    let mut x = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// The host of this event.
pub fn host(id: u64) -> String {
    format!("lane-{}-{}", id / LANE, id % STREAMS)
}

/// What the event with this number says; `epoch` is when the run began, in milliseconds.
pub fn said(id: u64, epoch: i64) -> Said {
    let word = mix(id);
    Said {
        host: host(id),
        state: ["ok", "warning", "critical"][(word % 3) as usize],
        // From a few bytes to a few hundred.
        description: format!("{word:016x}").repeat(1 + (word >> 60) as usize),
        mark: format!("{:016x}", mix(word)),
        metric: id as i64,
        time: epoch + (id % LANE) as i64,
    }
}

impl Said {
    /// As JSON for the node's HTTP interface, and as it comes back from there.
    pub fn json(&self) -> Value {
        json!({
            "host": self.host, "service": SERVICE, "state": self.state, "description": self.description,
            "metric": self.metric, "tags": ["chaos"], "time": iso(self.time), "ttl": f64::from(TTL), "mark": self.mark,
        })
    }
}

/// The number of an event in the node's JSON, if everything in it is as it was sent; else what differs.
pub fn check(event: &Value, epoch: i64) -> Result<u64, String> {
    let Some(id) = event["metric"].as_i64().and_then(|id| u64::try_from(id).ok()) else {
        return Err(format!("no number in {event}"));
    };
    let wanted = said(id, epoch).json();
    match wanted.as_object().into_iter().flatten().find(|(name, value)| event.get(name) != Some(value)) {
        None => Ok(id),
        Some((name, value)) => Err(format!("event {id}: {name} was sent as {value}, found {}", event[name])),
    }
}

/// A time in UTC, to the millisecond.
pub fn iso(millis: i64) -> String {
    let (days, rest) = (millis.div_euclid(86_400_000), millis.rem_euclid(86_400_000));
    // Days since 1 March of the year 0, in eras of 400 years.
    let shifted = days + 719_468;
    let (era, day) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let (of_month, month) =
        (of_year - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = year + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1000 % 60);
    format!("{year:04}-{month:02}-{of_month:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", rest % 1000)
}

/// What the keeper makes of one more number.
pub fn digest(so_far: u64, metric: i64) -> u64 {
    so_far.wrapping_mul(31).wrapping_add(metric as u64)
}

/// Whether the rule `chaos_keeper` panics at this event, if it was deployed with `poison`.
pub fn is_poison(id: u64) -> bool {
    (id % LANE + id / LANE * 2_500) % 9_973 == 9_972
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_the_node_writes_them() {
        assert_eq!(iso(1_366_048_018_250), "2013-04-15T17:46:58.250Z");
        assert_eq!(iso(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(iso(0), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn every_field_that_changes_is_seen() {
        let id = 3 * LANE + 17;
        let right = said(id, 1_700_000_000_000).json();
        assert_eq!(check(&right, 1_700_000_000_000), Ok(id));
        for name in right.as_object().unwrap().keys() {
            let mut wrong = right.clone();
            wrong[name] = json!("other");
            assert!(check(&wrong, 1_700_000_000_000).is_err(), "{name}");
        }
    }
}
