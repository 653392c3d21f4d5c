//! The matcher against an evaluator that is slow, obvious and knows nothing of plans: it walks the tree that was read and
//! computes with values of its own. Besides, any text is a query or an error, and never a panic.

use proptest::prelude::*;
use std::cmp::Ordering;
use tidegate_engine::query::ast::{Expr, Op, Value};
use tidegate_engine::query::{Matcher, Number, Query};
use tidegate_event::{BatchBuilder, Event, Field, FieldSet, Metric, NewEvent, Timestamp};

/// A value of the evaluator's.
#[derive(Clone, Debug)]
enum Seen {
    Nil,
    Bool(bool),
    Whole(i128),
    Float(f64),
    Text(String),
    Tags(Vec<String>),
}

fn field(name: &str, event: &Event<'_>) -> Seen {
    let text = |text: Option<&str>| text.map_or(Seen::Nil, |text| Seen::Text(text.to_owned()));
    match name {
        "host" => text(event.host()),
        "service" => text(event.service()),
        "state" => text(event.state()),
        "description" => text(event.description()),
        "metric" => match event.number() {
            None => Seen::Nil,
            Some(Metric::Int(value)) => Seen::Whole(value.into()),
            Some(Metric::Float(value)) => Seen::Float(value),
        },
        "ttl" => event.ttl().map_or(Seen::Nil, |ttl| Seen::Float(ttl.into())),
        "time" => Seen::Float(event.time().0 as f64 / 1e6),
        "tags" => {
            let tags: Vec<String> = event.tags().map(str::to_owned).collect();
            if tags.is_empty() { Seen::Nil } else { Seen::Tags(tags) }
        }
        name => text(event.attribute(name)),
    }
}

fn value(value: &Value, beside: &Value, event: &Event<'_>) -> Seen {
    match value {
        Value::Nil => Seen::Nil,
        Value::Bool(value) => Seen::Bool(*value),
        Value::Text(text) => Seen::Text(text.clone()),
        Value::Field(name) => field(name, event),
        Value::Number(number) => {
            let seen = match number {
                Number::Int(value) => Seen::Whole((*value).into()),
                Number::Float(value) => Seen::Float(*value),
                Number::Big(big) => {
                    let digits = Number::Big(big.clone()).to_string();
                    Seen::Whole(digits.trim_end_matches('n').parse().unwrap())
                }
            };
            // A ttl has single precision, and so has what it is compared with.
            match (seen, *beside == Value::Field("ttl".into())) {
                (Seen::Whole(value), true) => Seen::Float((value as f64 as f32).into()),
                (Seen::Float(value), true) => Seen::Float((value as f32).into()),
                (seen, _) => seen,
            }
        }
    }
}

fn order(a: &Seen, b: &Seen) -> Option<Ordering> {
    fn mixed(whole: i128, float: f64) -> Option<Ordering> {
        if float.is_nan() {
            return None;
        }
        let floor = float.floor();
        // The conversion saturates, and no whole number here is near the ends.
        Some(whole.cmp(&(floor as i128)).then(floor.partial_cmp(&float)?))
    }
    match (a, b) {
        (Seen::Whole(a), Seen::Whole(b)) => Some(a.cmp(b)),
        (Seen::Float(a), Seen::Float(b)) => a.partial_cmp(b),
        (Seen::Whole(a), Seen::Float(b)) => mixed(*a, *b),
        (Seen::Float(a), Seen::Whole(b)) => mixed(*b, *a).map(Ordering::reverse),
        _ => None,
    }
}

fn same(a: &Seen, b: &Seen) -> bool {
    match (a, b) {
        (Seen::Nil, Seen::Nil) => true,
        (Seen::Bool(a), Seen::Bool(b)) => a == b,
        (Seen::Text(a), Seen::Text(b)) => a == b,
        (Seen::Tags(a), Seen::Tags(b)) => a == b,
        (a, b) => order(a, b) == Some(Ordering::Equal),
    }
}

fn fits(pattern: &[char], text: &[char]) -> bool {
    match pattern.split_first() {
        None => text.is_empty() || text == ['\n'],
        Some(('%', rest)) => {
            let run = text.iter().take_while(|c| **c != '\n').count();
            (0..=run).any(|len| fits(rest, &text[len..]))
        }
        Some((c, rest)) => text.first() == Some(c) && fits(rest, &text[1..]),
    }
}

fn holds(expr: &Expr, event: &Event<'_>) -> bool {
    match expr {
        Expr::And(all) => all.iter().all(|expr| holds(expr, event)),
        Expr::Or(any) => any.iter().any(|expr| holds(expr, event)),
        Expr::Not(inner) => !holds(inner, event),
        Expr::Tagged(tag) => event.tags().any(|found| found == tag),
        Expr::Truth(one) => !matches!(value(one, one, event), Seen::Nil | Seen::Bool(false)),
        Expr::Compare { op, left, right } => {
            let (a, b) = (value(left, right, event), value(right, left, event));
            match op {
                Op::Equal => same(&a, &b),
                Op::NotEqual => !same(&a, &b),
                Op::Less => order(&a, &b) == Some(Ordering::Less),
                Op::Greater => order(&a, &b) == Some(Ordering::Greater),
                Op::AtMost => matches!(order(&a, &b), Some(Ordering::Less | Ordering::Equal)),
                Op::AtLeast => matches!(order(&a, &b), Some(Ordering::Greater | Ordering::Equal)),
            }
        }
        Expr::Like { left, pattern, .. } => match value(left, left, event) {
            Seen::Text(text) => {
                let (pattern, text): (Vec<char>, Vec<char>) =
                    (pattern.chars().collect(), text.chars().collect());
                fits(&pattern, &text)
            }
            _ => false,
        },
        Expr::Search { left, pattern, .. } => match value(left, left, event) {
            Seen::Text(text) => regex::Regex::new(pattern).unwrap().is_match(&text),
            _ => false,
        },
    }
}

const NUMBERS: [&str; 16] = [
    "0",
    "-0",
    "1",
    "1.0",
    "-1",
    "5",
    "0.5",
    "0.1",
    "60",
    "9007199254740993",
    "9007199254740992.0",
    "9223372036854775807",
    "9223372036854775808n",
    "-99999999999999999999n",
    "Infinity",
    "NaN",
];
const TEXTS: [&str; 8] = ["", "a", "b", "ab", "web1", "ok", "a\n", "é"];

fn words(from: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(from).prop_map(str::to_owned)
}

fn literal() -> impl Strategy<Value = String> {
    prop_oneof![
        words(&NUMBERS),
        words(&TEXTS).prop_map(|text| format!("{text:?}")),
        words(&["true", "false", "nil", "null"]),
    ]
}

fn name() -> impl Strategy<Value = String> {
    words(&["host", "service", "state", "description", "metric", "time", "ttl", "tags", "rack", "attributes"])
}

fn operand() -> impl Strategy<Value = String> {
    prop_oneof![3 => name(), 1 => literal()]
}

/// The text of a query.
fn query() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        1 => operand(),
        4 => (operand(), words(&["=", "!="]), prop_oneof![literal(), name()])
            .prop_map(|(left, op, right)| format!("{left} {op} {right}")),
        4 => (operand(), words(&["<", ">", "<=", ">="]), words(&NUMBERS))
            .prop_map(|(left, op, right)| format!("{left}{op}{right}")),
        3 => (operand(), words(&["", "%", "a%", "%b", "%b%", "a", "w%1", "%e%b%", "é%"]))
            .prop_map(|(left, pattern)| format!("{left} =~ {pattern:?}")),
        2 => (operand(), words(&["a", "^a", "b$", "[0-9]", "(?i)WEB", ".", ""]))
            .prop_map(|(left, pattern)| format!("{left} ~= {pattern:?}")),
        2 => words(&TEXTS).prop_map(|tag| format!("tagged {tag:?}")),
    ];
    leaf.prop_recursive(5, 40, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|query| format!("not {query}")),
            inner.clone().prop_map(|query| format!("({query})")),
            prop::collection::vec(inner.clone(), 2..4).prop_map(|all| all.join(" and ")),
            prop::collection::vec(inner, 2..4).prop_map(|any| format!("({})", any.join(" or "))),
        ]
    })
}

#[derive(Clone, Debug)]
struct Plain {
    texts: [Option<String>; 4],
    metric: Option<Metric>,
    ttl: Option<f32>,
    time: i64,
    tags: Vec<String>,
    attributes: Vec<(String, String)>,
}

prop_compose! {
    fn plain()(
        texts in prop::array::uniform4(prop::option::of(words(&TEXTS))),
        metric in prop::option::of(prop_oneof![
            prop::sample::select(vec![0, 1, -1, 5, 60, (1 << 53) + 1, i64::MAX, i64::MIN]).prop_map(Metric::Int),
            prop::sample::select(vec![
                0.0, -0.0, 1.0, 0.5, 0.1, f64::from(0.1_f32), 60.0, 9_007_199_254_740_992.0,
                9_223_372_036_854_775_808.0, f64::INFINITY, f64::NAN,
            ])
            .prop_map(Metric::Float),
        ]),
        ttl in prop::option::of(prop::sample::select(vec![0.0_f32, 0.1, 1.0, 60.0, f32::INFINITY, f32::NAN])),
        time in prop::sample::select(vec![0, 500_000, 1_000_000, 5_000_000, 60_000_000, -1_000_000]),
        tags in prop::collection::vec(words(&TEXTS), 0..3),
        attributes in prop::collection::vec((words(&["rack", "attributes", "other"]), words(&TEXTS)), 0..3),
    ) -> Plain {
        Plain { texts, metric, ttl, time, tags, attributes }
    }
}

impl Plain {
    fn push(&self, builder: &mut BatchBuilder) {
        let [host, service, state, description] = self.texts.each_ref().map(Option::as_deref);
        let tags: Vec<&str> = self.tags.iter().map(String::as_str).collect();
        let attributes: Vec<(&str, &str)> =
            self.attributes.iter().map(|(key, value)| (&**key, &**value)).collect();
        builder.push(&NewEvent {
            time: Some(Timestamp(self.time)),
            host,
            service,
            state,
            description,
            metric: self.metric,
            ttl: self.ttl,
            tags: &tags,
            attributes: &attributes,
            hops: 0,
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_matcher_says_what_the_tree_says(text in query(), events in prop::collection::vec(plain(), 1..8)) {
        let query = Query::parse(&text).unwrap();
        let matcher = Matcher::parse(&text).unwrap();
        let mut builder = BatchBuilder::new();
        events.iter().for_each(|event| event.push(&mut builder));
        for row in 0..builder.len() {
            let event = builder.event(row);
            let (expected, found) = (holds(query.root(), &event), matcher.matches(&event));
            prop_assert_eq!(found, expected, "{}\n{}\n{:?}", query.root(), matcher.plan(), event);
            prop_assert!(found || !matcher.wants_all());
            prop_assert!(!found || !matcher.wants_nothing());
            // What is asked of the stream once and of the event each time is the whole question.
            prop_assert_eq!(matcher.wants_stream(&event) && matcher.matches_within(&event), found, "{}", text);
            prop_assert!(!(matcher.wants_stream(&event) && matcher.wants_all_within()) || found);
            if let Some((host, service)) = matcher.exact() {
                prop_assert!(!found || (event.host(), event.service()) == (host, service));
            }
        }
    }

    #[test]
    fn the_fields_it_says_it_reads_are_enough(text in query(), event in plain()) {
        let matcher = Matcher::parse(&text).unwrap();
        let mut whole = BatchBuilder::new();
        event.push(&mut whole);
        let mut part = BatchBuilder::new();
        part.copy(&whole.event(0), matcher.fields(), |_| ());
        prop_assert_eq!(matcher.matches(&part.event(0)), matcher.matches(&whole.event(0)), "{:?}", matcher.fields());
        prop_assert!(!matcher.fields().has(Field::Description) || text.contains("description"));
        prop_assert_eq!(matcher.fields().union(FieldSet::ALL), FieldSet::ALL);
    }

    #[test]
    fn any_text_is_a_query_or_an_error_that_can_be_drawn(text in "\\PC{0,40}") {
        if let Err(error) = Matcher::parse(&text) {
            prop_assert!(text.get(error.span.clone()).is_some(), "{:?}", error.span);
            prop_assert!(error.to_string().contains('^'));
        }
    }

    #[test]
    fn tokens_in_any_order_are_a_query_or_an_error(
        tokens in prop::collection::vec(
            prop::sample::select(vec![
                "and", "or", "not", "tagged", "(", ")", "=", "!=", "<", ">=", "=~", "~=", "\"a\"", "\"", "\\", "host",
                "metric", "1", "-1", "1.5e3", "10n", "nil", "true", ",", " ", "\n", "é", "%", "!", "-", ".", "e5", ":", "~",
            ]),
            0..24,
        ),
        gap in prop::sample::select(vec!["", " "]),
    ) {
        let text = tokens.join(gap);
        match Query::parse(&text) {
            Ok(query) => {
                for warning in query.warnings() {
                    prop_assert!(text.get(warning.span.clone()).is_some());
                }
                let again = Query::parse(query.text()).unwrap();
                prop_assert_eq!(again, query);
            }
            Err(error) => prop_assert!(text.get(error.span.clone()).is_some() && error.to_string().contains('^')),
        }
    }
}

#[test]
fn what_is_hostile_is_refused_before_it_costs_anything() {
    for text in [
        "(".repeat(16_000),
        "not ".repeat(4_000),
        "(true and ".repeat(1_500),
        "\"".repeat(16_000),
        "-".repeat(20_000),
        format!("host ~= \"{}\"", "(a{99}){99}".repeat(9)),
    ] {
        assert!(Matcher::parse(&text).is_err(), "{}", &text[..20]);
    }
    let wide = vec!["host = \"a\""; 1_000].join(" or ");
    assert!(Matcher::parse(&wide).is_ok(), "a long list is not nested");
    let deep = format!("{}true{}", "(".repeat(128), ")".repeat(128));
    assert!(Matcher::parse(&deep).is_ok());
}
