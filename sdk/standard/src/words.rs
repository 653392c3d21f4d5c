//! What each stage does and what it remembers, in a line: for `tidegate check` and for the page that lists them.

/// A stage: its name, how it is written, what it does, what it remembers.
pub struct Word {
    pub name: &'static str,
    pub written: &'static str,
    pub does: &'static str,
    /// Empty for nothing.
    pub keeps: &'static str,
}

const fn word(name: &'static str, written: &'static str, does: &'static str, keeps: &'static str) -> Word {
    Word { name, written, does, keeps }
}

const LIST: &str = "at most 10,000 events";
const LAST: &str = "one event";
const NUMBER: &str = "a number";
const KINDS: &str = "an event for each host and service, at most 100,000";

/// Every stage but `next`.
pub const WORDS: &[Word] = &[
    word("where", "where = QUERY, else = […]", "passes what the query holds of; the rest goes to `else`", ""),
    word("match", "match = F, value = PATTERN", "passes what `f` gives that value of, or one that fits", ""),
    word("tagged", "tagged = [TAGS]", "passes what has all of the tags", ""),
    word("tagged-any", "tagged-any = [TAGS]", "passes what has one of the tags", ""),
    word(
        "expired",
        "expired = true",
        "passes what says `expired` or has outlived its ttl (60 s if it has none)",
        "",
    ),
    word("not-expired", "not-expired = true", "passes the rest", ""),
    word("over", "over = NUMBER", "passes metrics above it", ""),
    word("under", "under = NUMBER", "passes metrics below it", ""),
    word("smap", "smap = F", "passes what `f` makes of it, unless that is nothing", ""),
    word("smap*", "'smap*' = F", "the same, nothing included", ""),
    word("smapcat", "smapcat = F", "passes each of the list that `f` makes of it", ""),
    word("sflatten", "sflatten = true", "passes each of a list", ""),
    word(
        "sreduce",
        "sreduce = '+', init = VALUE",
        "passes what it and all before come to: `+`, `max-metric` or a fold",
        LAST,
    ),
    word(
        "with",
        "with = {FIELDS}, without = [FIELDS]",
        "sets fields, removes others; of each event of a list",
        "",
    ),
    word("default", "default = {FIELDS}", "sets fields that are missing", ""),
    word("adjust", "adjust = FIELD, f = F", "sets a field to what `f` makes of it", ""),
    word("scale", "scale = NUMBER", "multiplies the metric", ""),
    word("tag", "tag = [TAGS]", "adds tags", ""),
    word("untag", "untag = [TAGS]", "removes tags", ""),
    word("each", "each = [[…], […]]", "passes the same to each branch", ""),
    word(
        "split",
        "split = [{ where = QUERY, then = […] }], else = […]",
        "passes it to the first branch whose query holds",
        "",
    ),
    word(
        "splitp",
        "splitp = '<=', f = F, clauses = [{ value = V, then = […] }], else = […]",
        "passes it to the first branch whose value stands so to what `f` gives; without `else` one must",
        "",
    ),
    word(
        "by",
        "by = [FIELDS], idle = '1h', forks = 10000",
        "gives each value its own copy of the stages behind it, let go when idle for so long",
        "a copy for each value; beyond `forks` all share one",
    ),
    word(
        "dual",
        "dual = QUERY, then = […], else = […]",
        "passes it to one branch and `expired` to the other",
        "",
    ),
    word("moving-event-window", "moving-event-window = N", "passes the last N as a list, each time", LIST),
    word("fixed-event-window", "fixed-event-window = N", "passes N together, when there are so many", LIST),
    word(
        "moving-time-window",
        "moving-time-window = '10s'",
        "passes those of the last 10 s, each time",
        LIST,
    ),
    word(
        "fixed-time-window",
        "fixed-time-window = '10s', align = 'epoch'",
        "passes those of each 10 s when they are over",
        LIST,
    ),
    word(
        "batch",
        "batch = N, every = '10s', align = 'first'",
        "passes N together, or what came in 10 s",
        LIST,
    ),
    word("coalesce", "coalesce = '10s'", "passes the latest of every host and service, every 10 s", KINDS),
    word(
        "project",
        "project = [QUERIES]",
        "passes the latest that each query holds of, when one changes",
        "an event for each query",
    ),
    word(
        "fold-interval",
        "fold-interval = '10s', field = FIELD, f = FOLD",
        "passes what a fold makes of the field's values in 10 s",
        LIST,
    ),
    word("rate", "rate = '10s'", "passes the sum of the metrics in 10 s, for each second", LAST),
    word(
        "percentiles",
        "percentiles = [0.5, 0.99], every = '10s'",
        "passes the events at those ranks of 10 s, ` 0.5` behind the service",
        LIST,
    ),
    word("counter", "counter = 0", "passes the sum of all metrics; the tag `reset` sets it", NUMBER),
    word(
        "ddt",
        "ddt = true, or ddt = '10s'",
        "passes by how much the metric grows in a second",
        "two points",
    ),
    word(
        "ewma-timeless",
        "ewma-timeless = WEIGHT",
        "passes the moving average, each value weighing as much",
        NUMBER,
    ),
    word("ewma", "ewma = '10s'", "passes the moving average with that half-life", NUMBER),
    word(
        "top",
        "top = K, f = F, bottom = […]",
        "passes those with the K largest values, `expired` for those that fall behind",
        "K events, at most 1,000",
    ),
    word(
        "apdex",
        "apdex = '10s', satisfied = QUERY, tolerated = QUERY",
        "passes (satisfied + tolerated / 2) / all",
        LAST,
    ),
    word(
        "predict-linear",
        "predict-linear = N, ahead = '1h', reuse = '1m'",
        "passes what a line through the last N says of that time ahead",
        "N points, at most 1,000",
    ),
    word(
        "clock-skew",
        "clock-skew = true",
        "passes by how much a host's clock is ahead of the median of all",
        "a time for each host, at most 100,000",
    ),
    word("sum-over-time", "sum-over-time = true", "passes the sum of all metrics", NUMBER),
    word("mean-over-time", "mean-over-time = true", "passes the mean of all metrics", NUMBER),
    word(
        "fill-in",
        "fill-in = '10s', event = {FIELDS}",
        "passes everything, and that event after each 10 s without any",
        NUMBER,
    ),
    word(
        "fill-in-last",
        "fill-in-last = '10s', f = F, set = {FIELDS}",
        "passes everything, and the last event so changed after each 10 s without any",
        LAST,
    ),
    word("interpolate-constant", "interpolate-constant = '10s'", "passes the latest event every 10 s", LAST),
    word(
        "changed",
        "changed = F, init = VALUE, pairs = false",
        "passes what differs from the one before in what `f` gives",
        "a value",
    ),
    word(
        "changed-state",
        "changed-state = true, init = STATE",
        "passes what changes the state of its host and service",
        "a state for each, at most 100,000",
    ),
    word("stable", "stable = '10s', f = F", "passes what `f` has given the same value of for 10 s", LIST),
    word("runs", "runs = N, field = FIELD", "passes what is the same N times running", "a value"),
    word("throttle", "throttle = N, every = '10s', align = 'first'", "passes N in 10 s", NUMBER),
    word(
        "rollup",
        "rollup = N, every = '10s', align = 'first'",
        "passes N in 10 s as they come, the rest together",
        LIST,
    ),
    word("parse", "parse = ATTRIBUTE", "puts the JSON in an attribute in the event's place", ""),
    word("to", "to = OUTPUT, as = 'event'", "sends it to an output, and passes it on", ""),
    word(
        "emit",
        "emit = true",
        "puts it back into the stream, where every rule sees it, and passes it on",
        "",
    ),
    word("log", "log = 'info'", "writes it into the rule's log, and passes it on", ""),
];

/// The stage of that name.
pub fn find(name: &str) -> Option<&'static Word> {
    WORDS.iter().find(|word| word.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_is_described_and_nothing_else() {
        let described: Vec<&str> = WORDS.iter().map(|word| word.name).chain(["next"]).collect();
        assert_eq!(described, crate::plan::STAGES_BY_NAME);
    }
}
