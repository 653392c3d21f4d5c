//! What is on the screen, whatever the screen is: streams and their order, what is selected, what is being typed.

use super::{Look, Trouble};
use crate::cli::query;
use crate::cli::screen::plain;
use crate::clock;
use serde_json::Value;
use std::cmp::Ordering;
use std::collections::{BTreeMap, VecDeque};
use tidegate_event::Timestamp;

/// Metrics of each stream that are kept.
const HISTORY: usize = 60;

/// The longest query that can be typed.
const TYPED: usize = 1000;

/// What is to be done after a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Nothing but to draw.
    Nothing,
    /// Ask the node.
    Look,
    /// Enough.
    Leave,
}

/// The order of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// The worst state first.
    State,
    /// By host.
    Host,
    /// By service.
    Service,
    /// The largest metric first.
    Metric,
    /// What was heard of last first.
    Age,
}

impl Sort {
    /// All of them, in the order in which a key goes through them.
    pub const ALL: [Self; 5] = [Self::State, Self::Host, Self::Service, Self::Metric, Self::Age];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Host => "host",
            Self::Service => "service",
            Self::Metric => "metric",
            Self::Age => "age",
        }
    }

    /// The next one.
    pub fn next(self) -> Self {
        let at = Self::ALL.iter().position(|sort| *sort == self).unwrap_or(0);
        Self::ALL[(at + 1) % Self::ALL.len()]
    }
}

/// How bad a state is: the larger the worse.
pub fn severity(state: &str) -> u8 {
    match state {
        "critical" | "failure" => 4,
        "warning" | "warn" => 3,
        "ok" | "okay" | "" => 0,
        "expired" => 1,
        _ => 2,
    }
}

/// One stream.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Its host.
    pub host: String,
    /// Its service.
    pub service: String,
    /// Its latest event.
    pub event: Value,
    /// Its latest metrics, the oldest first.
    pub history: VecDeque<f64>,
}

impl Stream {
    /// A field as text that a terminal does not obey.
    pub fn text(&self, name: &str) -> String {
        self.event[name].as_str().map(plain).unwrap_or_default()
    }

    /// Its metric.
    pub fn metric(&self) -> Option<f64> {
        self.event["metric"].as_f64()
    }

    /// When it happened.
    pub fn time(&self) -> Option<Timestamp> {
        query::time(&self.event)
    }

    /// How long ago that was, for people.
    pub fn age(&self, now: Timestamp) -> String {
        self.time().map(|at| query::age(now, at)).unwrap_or_default()
    }
}

/// A query being typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Typing {
    /// The text.
    pub text: String,
    /// Where the next letter goes, in letters.
    pub at: usize,
}

impl Typing {
    /// Begins with this text.
    pub fn new(text: &str) -> Self {
        Self { text: text.to_owned(), at: text.chars().count() }
    }

    fn byte(&self) -> usize {
        self.text.char_indices().nth(self.at).map_or(self.text.len(), |(byte, _)| byte)
    }

    /// Puts a letter in.
    pub fn insert(&mut self, letter: char) {
        if self.text.len() < TYPED && !letter.is_control() {
            let byte = self.byte();
            self.text.insert(byte, letter);
            self.at += 1;
        }
    }

    /// Takes the letter before the cursor out.
    pub fn back(&mut self) {
        if self.at > 0 {
            self.at -= 1;
            self.delete();
        }
    }

    /// Takes the letter behind the cursor out.
    pub fn delete(&mut self) {
        let byte = self.byte();
        if byte < self.text.len() {
            self.text.remove(byte);
        }
    }

    /// Moves the cursor by so many letters.
    pub fn step(&mut self, by: isize) {
        self.at = self.at.saturating_add_signed(by).min(self.text.chars().count());
    }
}

/// Everything that is shown.
#[derive(Debug)]
pub struct Board {
    /// The node's address.
    pub address: String,
    /// The query in force.
    pub query: String,
    /// The query that is asked for and not in force yet.
    pub asked: Option<String>,
    /// Whether colours are welcome.
    pub color: bool,
    /// The streams, in their order.
    pub rows: Vec<Stream>,
    /// Whether there are more than these.
    pub truncated: bool,
    /// The node at a glance.
    pub overview: Value,
    /// The order.
    pub sort: Sort,
    /// Whether it is turned round.
    pub reversed: bool,
    /// The row that keys act on.
    pub selected: usize,
    /// How many rows fit on the screen, as of the last picture.
    pub page: usize,
    /// Whether nothing moves.
    pub paused: bool,
    /// Whether all of the selected stream is shown.
    pub detail: bool,
    /// Whether the keys are explained.
    pub help: bool,
    /// The query being typed.
    pub typing: Option<Typing>,
    /// What went wrong last, until a key is pressed.
    pub note: Option<String>,
    /// Why the node does not answer, while that is so.
    pub away: Option<String>,
    /// When the node was last seen.
    pub seen: Timestamp,
}

impl Board {
    /// An empty board.
    pub fn new(query: String, address: String, color: bool) -> Self {
        Self {
            address,
            query,
            asked: None,
            color,
            rows: Vec::new(),
            truncated: false,
            overview: Value::Null,
            sort: Sort::State,
            reversed: false,
            selected: 0,
            page: 10,
            paused: false,
            detail: false,
            help: false,
            typing: None,
            note: None,
            away: None,
            seen: Timestamp(0),
        }
    }

    /// The query that the node is to be asked.
    pub fn wanted(&self) -> String {
        self.asked.as_ref().unwrap_or(&self.query).clone()
    }

    /// Whether an answer would change anything.
    pub fn wants_news(&self) -> bool {
        !self.paused
    }

    /// Takes in the answer to a query, or that there was none.
    pub fn take(&mut self, query: &str, seen: Result<Look, Trouble>) {
        if query != self.wanted() {
            return;
        }
        match seen {
            Ok(look) => {
                if let Some(query) = self.asked.take() {
                    self.query = query;
                    self.selected = 0;
                }
                self.away = None;
                if !self.paused {
                    self.see(look);
                }
            }
            Err(Trouble::Query(objection)) => {
                self.note = Some(objection.message);
                self.asked = None;
            }
            Err(Trouble::Away(failure)) => {
                let said = failure.to_string();
                let line = said.lines().next().unwrap_or_default();
                self.away = Some(line.trim_start_matches("error: ").to_owned());
            }
        }
    }

    /// Takes in what was seen.
    pub fn see(&mut self, look: Look) {
        let selected = self.selected().map(|row| (row.host.clone(), row.service.clone()));
        let mut before: BTreeMap<(String, String), (Value, VecDeque<f64>)> = std::mem::take(&mut self.rows)
            .into_iter()
            .map(|row| ((row.host, row.service), (row.event["time"].clone(), row.history)))
            .collect();
        self.rows = look
            .events
            .into_iter()
            .map(|event| {
                let text = |name: &str| event[name].as_str().map(plain).unwrap_or_default();
                let (host, service) = (text("host"), text("service"));
                let (_, mut history) = before.remove(&(host.clone(), service.clone())).unwrap_or_default();
                if let Some(metric) = event["metric"].as_f64() {
                    if history.len() == HISTORY {
                        history.pop_front();
                    }
                    history.push_back(metric);
                }
                Stream { host, service, event, history }
            })
            .collect();
        self.truncated = look.truncated;
        self.overview = look.overview;
        self.seen = clock::now();
        self.arrange();
        if let Some(selected) = selected {
            let same = |row: &Stream| row.host == selected.0 && row.service == selected.1;
            if let Some(at) = self.rows.iter().position(same) {
                self.selected = at;
            }
        }
        self.select(0);
    }

    /// Puts the rows in order.
    pub fn arrange(&mut self) {
        let (sort, reversed) = (self.sort, self.reversed);
        self.rows.sort_by(|one, other| {
            let order = match sort {
                Sort::State => severity(&other.text("state")).cmp(&severity(&one.text("state"))),
                Sort::Host => one.host.cmp(&other.host),
                Sort::Service => one.service.cmp(&other.service),
                Sort::Metric => match (one.metric(), other.metric()) {
                    (Some(one), Some(other)) => other.total_cmp(&one),
                    (one, other) => other.is_some().cmp(&one.is_some()),
                },
                Sort::Age => other.time().cmp(&one.time()),
            };
            let order = if reversed { order.reverse() } else { order };
            let names = || (&one.host, &one.service).cmp(&(&other.host, &other.service));
            if order == Ordering::Equal { names() } else { order }
        });
    }

    /// Moves the selection by so many rows.
    pub fn select(&mut self, by: isize) {
        let last = self.rows.len().saturating_sub(1);
        self.selected = self.selected.saturating_add_signed(by).min(last);
    }

    /// The row that keys act on.
    pub fn selected(&self) -> Option<&Stream> {
        self.rows.get(self.selected)
    }

    /// How many rows are in each state that somebody should look at: critical, warning, other, fine.
    pub fn states(&self) -> [usize; 4] {
        let mut states = [0; 4];
        for row in &self.rows {
            states[match severity(&row.text("state")) {
                4 => 0,
                3 => 1,
                0 => 3,
                _ => 2,
            }] += 1;
        }
        states
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::cli::failure::{Exit, Failure};
    use crate::cli::server::Objection;
    use reqwest::StatusCode;
    use serde_json::json;

    /// An event of the index.
    pub fn event(host: &str, service: &str, state: &str, metric: f64) -> Value {
        json!({ "host": host, "service": service, "state": state, "metric": metric, "time": "2013-04-15T18:06:58.000Z",
                "description": format!("{service} of {host}"), "tags": ["prod"], "ttl": 60.0, "zone": "eu" })
    }

    /// What one look has found.
    pub fn look(events: Vec<Value>) -> Look {
        Look { events, truncated: false, overview: json!({ "version": "0.1.0", "index_size": 7 }) }
    }

    fn board(events: Vec<Value>) -> Board {
        let mut board = Board::new("true".into(), "http://127.0.0.1:5559".into(), false);
        board.see(look(events));
        board
    }

    fn order(board: &Board) -> Vec<String> {
        board.rows.iter().map(|row| format!("{} {}", row.host, row.service)).collect()
    }

    #[test]
    fn the_worst_comes_first_unless_another_order_is_wanted() {
        let mut board = board(vec![
            event("b", "x", "ok", 3.0),
            event("a", "y", "warning", 1.0),
            event("c", "x", "critical", 2.0),
            event("a", "x", "maintenance", 9.0),
        ]);
        assert_eq!(order(&board), ["c x", "a y", "a x", "b x"]);
        for (sort, expected) in [
            (Sort::Host, ["a x", "a y", "b x", "c x"]),
            (Sort::Service, ["a x", "b x", "c x", "a y"]),
            (Sort::Metric, ["a x", "b x", "c x", "a y"]),
        ] {
            board.sort = sort;
            board.arrange();
            assert_eq!(order(&board), expected, "{}", sort.name());
        }
        board.reversed = true;
        board.arrange();
        assert_eq!(order(&board), ["a y", "c x", "b x", "a x"]);
        assert_eq!(Sort::ALL.map(Sort::next)[4], Sort::State);
    }

    #[test]
    fn a_stream_keeps_its_last_metrics_and_its_selection() {
        let mut board = board(vec![event("a", "x", "ok", 0.0), event("b", "x", "ok", 0.0)]);
        board.select(1);
        for n in 1..100 {
            let state = if n > 50 { "critical" } else { "ok" };
            let seen = look(vec![event("a", "x", "ok", 1.0), event("b", "x", state, f64::from(n))]);
            board.take("true", Ok(seen));
        }
        let selected = board.selected().unwrap();
        assert_eq!(
            (selected.host.as_str(), board.selected),
            ("b", 0),
            "it is the worst now, and still selected"
        );
        assert_eq!((selected.history.len(), selected.history[0], selected.history[59]), (60, 40.0, 99.0));
        board.take("true", Ok(look(vec![event("a", "x", "ok", 1.0)])));
        assert_eq!(
            (order(&board), board.selected),
            (vec!["a x".to_owned()], 0),
            "what does not match is gone"
        );
    }

    #[test]
    fn a_node_that_is_away_leaves_what_was_seen_and_comes_back() {
        let mut board = board(vec![event("a", "x", "ok", 0.0)]);
        let away = Failure::say(Exit::Unreachable, "server unreachable");
        board.take("true", Err(Trouble::Away(away)));
        assert_eq!((board.away.as_deref(), board.rows.len()), (Some("server unreachable"), 1));
        board.take("true", Ok(look(Vec::new())));
        assert_eq!((board.away, board.rows.len()), (None, 0));
    }

    #[test]
    fn a_query_is_in_force_when_the_node_has_understood_it() {
        let mut board = board(vec![event("a", "x", "ok", 0.0)]);
        board.asked = Some("metric >".into());
        board.take("true", Ok(look(Vec::new())));
        assert_eq!(board.rows.len(), 1, "the answer to the old query comes too late");
        let objection =
            Objection { status: StatusCode::BAD_REQUEST, message: "a number".into(), span: None, help: None };
        board.take("metric >", Err(Trouble::Query(objection)));
        assert_eq!((board.query.as_str(), board.note.as_deref()), ("true", Some("a number")));
        board.asked = Some("metric > 1".into());
        board.take("metric > 1", Ok(look(Vec::new())));
        assert_eq!((board.query.as_str(), board.asked.as_ref()), ("metric > 1", None));
    }

    #[test]
    fn what_is_paused_does_not_move() {
        let mut board = board(vec![event("a", "x", "ok", 0.0)]);
        board.paused = true;
        board.take("true", Ok(look(Vec::new())));
        assert_eq!(board.rows.len(), 1);
        assert!(!board.wants_news());
    }

    #[test]
    fn letters_go_where_the_cursor_is() {
        let mut typing = Typing::new("aé");
        typing.step(-1);
        typing.insert('x');
        typing.insert('\n');
        assert_eq!((typing.text.as_str(), typing.at), ("axé", 2));
        typing.back();
        typing.delete();
        typing.delete();
        typing.step(9);
        assert_eq!((typing.text.as_str(), typing.at), ("a", 1));
    }
}
