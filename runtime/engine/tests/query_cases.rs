//! What Riemann's language means, one fact a line, and where we say something else. A line is a query, the event it is
//! asked of as JSON, and the answer. `docs/query-language.md` has the reasons for the differences.

use tidegate_engine::codec::json;
use tidegate_engine::query::{Matcher, Query};
use tidegate_event::{BatchBuilder, FieldSet};

/// The answer to a query of an event.
fn asks(query: &str, event: &str) -> bool {
    let mut builder = BatchBuilder::new();
    json::decode_event(&mut builder, event).unwrap_or_else(|error| panic!("{event}: {error}"));
    let matcher = Matcher::parse(query).unwrap_or_else(|error| panic!("{query}\n{error}"));
    matcher.matches(&builder.event(0))
}

fn check(cases: &[(&str, &str, bool)]) {
    let wrong: Vec<_> = cases.iter().filter(|(query, event, answer)| asks(query, event) != *answer).collect();
    assert!(wrong.is_empty(), "answered the other way: {wrong:#?}");
}

fn refused(queries: &[&str]) {
    for query in queries {
        assert!(Matcher::parse(query).is_err(), "this is a query: {query}");
    }
}

#[test]
fn trees_are_riemanns() {
    for (query, tree) in [
        ("nil", "nil"),
        ("null", "nil"),
        ("true", "true"),
        ("false", "false"),
        ("host = true", "(= host true)"),
        ("ttl = 64", "(= ttl 64)"),
        ("metric = -17", "(= metric -17)"),
        ("metric = 2.5", "(= metric 2.5)"),
        ("metric = -2.5", "(= metric -2.5)"),
        ("metric = 1e5", "(= metric 100000.0)"),
        ("metric = 1E5", "(= metric 100000.0)"),
        ("metric = -1.2e-5", "(= metric -1.2e-5)"),
        ("metric = 12n", "(= metric 12)"),
        ("metric = 9223372036854775808N", "(= metric 9223372036854775808n)"),
        ("metric < -Infinity", "(< metric -Infinity)"),
        ("state = \"x\"", "(= state \"x\")"),
        (r#"state = "\b\t\n\f\r""#, r#"(= state "\u{8}\t\n\u{c}\r")"#),
        (r#"state = " \" \\ ""#, r#"(= state " \" \\ ")"#),
        ("state = \"辻斬\"", "(= state \"辻斬\")"),
        ("\"a\" = state", "(= \"a\" state)"),
        ("metric != 2", "(!= metric 2)"),
        ("metric > 2", "(> metric 2)"),
        ("metric < 2", "(< metric 2)"),
        ("metric <= 2", "(<= metric 2)"),
        ("metric >= 2", "(>= metric 2)"),
        ("host =~ \"a%\"", "(=~ host \"a%\")"),
        ("host ~= \"^a\"", "(~= host \"^a\")"),
        ("tagged \"cat\"", "(tagged \"cat\")"),
        ("not host = 1", "(not (= host 1))"),
        ("not host = 1 and host = 2", "(and (not (= host 1)) (= host 2))"),
        ("not host = 1 or host = 2 and host = 3", "(or (not (= host 1)) (and (= host 2) (= host 3)))"),
        ("not ((host = 1 or host = 2) and host = 3)", "(not (and (or (= host 1) (= host 2)) (= host 3)))"),
        ("a and b and c or d or e", "(or (and a b c) d e)"),
        ("a and (b and c)", "(and a (and b c))"),
        ("not not a", "(not (not a))"),
        ("(((a)))", "a"),
    ] {
        assert_eq!(Query::parse(query).unwrap().root().to_string(), tree, "{query}");
    }
}

#[test]
fn a_value_by_itself_holds_unless_it_is_nil_or_false() {
    check(&[
        ("true", "{}", true),
        ("false", "{}", false),
        ("nil", "{}", false),
        ("null", r#"{"state": "x"}"#, false),
        ("0", "{}", true),
        ("5", "{}", true),
        ("NaN", "{}", true),
        ("\"\"", "{}", true),
        ("host", r#"{"host": ""}"#, true),
        ("host", "{}", false),
        ("metric", r#"{"metric": 0}"#, true),
        ("time", "{}", true),
        ("tags", r#"{"tags": []}"#, false),
        ("tags", r#"{"tags": ["a"]}"#, true),
        ("rack", r#"{"rack": "7"}"#, true),
        ("rack", r#"{"shelf": "7"}"#, false),
    ]);
}

#[test]
fn equality_and_nil() {
    check(&[
        ("host = nil", "{}", true),
        ("nil = host", "{}", true),
        ("host = null", r#"{"host": "a"}"#, false),
        ("host != nil", r#"{"host": "a"}"#, true),
        ("host != \"a\"", "{}", true),
        ("not host = \"a\"", "{}", true),
        ("host = \"a\"", r#"{"host": "A"}"#, false),
        ("\"a\" = host", r#"{"host": "a"}"#, true),
        ("tags = nil", "{}", true),
        ("tags = nil", r#"{"tags": ["a"]}"#, false),
        ("tags = \"a\"", r#"{"tags": ["a"]}"#, false),
        ("metric = nil", r#"{"metric": 0}"#, false),
        ("ttl = nil and description != nil", r#"{"description": "x"}"#, true),
        ("ttl = nil and description != nil", r#"{"description": "x", "ttl": 2}"#, false),
        ("ttl = nil and description != nil", "{}", false),
        ("state != 1", r#"{"state": "0.5"}"#, true),
        ("state != 1", "{}", true),
        ("not ((host = 1 or host = 2) and service = 3)", "{}", true),
        ("metric = \"3\"", r#"{"metric": 3}"#, false),
        ("rack = 7", r#"{"rack": 7}"#, false),
        ("rack = \"7\"", r#"{"rack": 7}"#, true),
        ("host = true", r#"{"host": "true"}"#, false),
        ("1 = true", "{}", false),
    ]);
}

#[test]
fn two_fields_can_be_compared() {
    check(&[
        ("state = ok", r#"{"state": "ok"}"#, false),
        ("state = ok", "{}", true),
        ("state = ok", r#"{"state": "a", "ok": "a"}"#, true),
        ("metric = ttl", r#"{"metric": 2, "ttl": 2}"#, true),
        ("metric != ttl", r#"{"metric": 2}"#, true),
        ("host = metric", "{}", true),
        ("host = metric", r#"{"host": "1", "metric": 1}"#, false),
        ("tags = host", "{}", true),
        ("tags = tags", r#"{"tags": ["a"]}"#, true),
        ("time = host", "{}", false),
    ]);
}

#[test]
fn order_wants_numbers_on_both_sides() {
    check(&[
        ("metric > 1e10", "{}", false),
        ("metric < 1.2e2", "{}", false),
        ("metric < 1.2e2", r#"{"metric": 15.0}"#, true),
        ("metric >= -1", r#"{"metric": 0}"#, true),
        ("metric >= -1", r#"{"metric": -1}"#, true),
        ("metric <= 1", r#"{"metric": 1}"#, true),
        ("metric <= 1", r#"{"metric": -20}"#, true),
        ("metric <= 1", r#"{"metric": 2}"#, false),
        ("metric <= 1.0", r#"{"metric": 1}"#, true),
        ("metric > 0", r#"{"metric": 0.5}"#, true),
        ("metric < Infinity", r#"{"metric": 1}"#, true),
        ("metric > NaN", r#"{"metric": 1}"#, false),
        ("metric > 2", "{}", false),
        ("not metric > 2", "{}", true),
        ("not metric > 2", r#"{"metric": 3}"#, false),
        ("state > 2", r#"{"state": "ok"}"#, false),
        ("rack > 2", r#"{"rack": 3}"#, false),
        ("tags > 2", r#"{"tags": ["a"]}"#, false),
        ("nil < 2", "{}", false),
        ("\"1\" < 2", "{}", false),
        ("1 < 2", "{}", true),
        ("1.5 < 1.5", "{}", false),
        ("99999999999999999999n > 1e19", "{}", true),
        ("ttl >= 60", r#"{"ttl": 60}"#, true),
    ]);
}

#[test]
fn wildcards_span_the_whole_text() {
    check(&[
        ("host =~ \"%s.\"", r#"{"host": "s."}"#, true),
        ("host =~ \"%s.\"", r#"{"host": "foos."}"#, true),
        ("host =~ \"%s.\"", r#"{"host": "a."}"#, false),
        ("host =~ \"%s.\"", r#"{"host": "s.murf"}"#, false),
        ("host =~ \"%s.\"", "{}", false),
        ("host =~ \"a%b\"", r#"{"host": "ab"}"#, true),
        ("host =~ \"a%b\"", r#"{"host": "axxb"}"#, true),
        ("host =~ \"a%b\"", r#"{"host": "axxbc"}"#, false),
        ("host =~ \"a%a\"", r#"{"host": "a"}"#, false),
        ("host =~ \"%b%\"", r#"{"host": "abc"}"#, true),
        ("host =~ \"a.c\"", r#"{"host": "a.c"}"#, true),
        ("host =~ \"a.c\"", r#"{"host": "abc"}"#, false),
        ("host =~ \"%\"", "{}", false),
        ("host =~ \"%\"", r#"{"host": ""}"#, true),
        ("host =~ \"\"", r#"{"host": "a"}"#, false),
        ("host =~ \"A\"", r#"{"host": "a"}"#, false),
        ("host =~ \"a\"", r#"{"host": "a\n"}"#, true),
        ("host =~ \"a\"", r#"{"host": "a\n\n"}"#, false),
        ("host =~ \"a%\"", r#"{"host": "a\nb"}"#, false),
        ("host =~ \"a\n%\"", r#"{"host": "a\nb"}"#, true),
        ("metric =~ \"1%\"", r#"{"metric": 1}"#, false),
        ("tags =~ \"%\"", r#"{"tags": ["a"]}"#, false),
        ("\"foo\" =~ \"f%\"", "{}", true),
        ("5 =~ \"%\"", "{}", false),
        ("rack =~ \"7%\"", r#"{"rack": 71}"#, true),
    ]);
}

#[test]
fn regular_expressions_are_found_anywhere() {
    check(&[
        ("host ~= \"foo?[1-9]+\"", r#"{"host": "foo19"}"#, true),
        ("host ~= \"foo?[1-9]+\"", r#"{"host": "fo42"}"#, true),
        ("host ~= \"foo?[1-9]+\"", r#"{"host": "abc"}"#, false),
        ("host ~= \"foo?[1-9]+\"", r#"{"host": "foo"}"#, false),
        ("host ~= \"b\"", r#"{"host": "abc"}"#, true),
        ("host ~= \"^b\"", r#"{"host": "abc"}"#, false),
        ("host ~= \"(?i)WEB\"", r#"{"host": "web1"}"#, true),
        (r#"host ~= "^\\d+$""#, r#"{"host": "123"}"#, true),
        ("host ~= \".\"", "{}", false),
        ("host ~= \"\"", r#"{"host": ""}"#, true),
        ("metric ~= \"1\"", r#"{"metric": 1}"#, false),
        ("\"foo\" ~= \"o$\"", "{}", true),
    ]);
}

#[test]
fn tags_are_exact() {
    check(&[
        ("tagged \"cat\"", r#"{"tags": ["cat", "dog"]}"#, true),
        ("tagged \"cat\"", r#"{"tags": ["Cat", "cats"]}"#, false),
        ("tagged \"cat\"", r#"{"tags": []}"#, false),
        ("tagged \"cat\"", "{}", false),
        ("not tagged \"cat\"", "{}", true),
        ("paws = \"4\" and tagged \"cat\"", r#"{"paws": 4, "tags": ["cat"]}"#, true),
        ("paws = \"4\" and tagged \"cat\"", r#"{"paws": 4}"#, false),
    ]);
}

#[test]
fn words_and_names_are_told_apart_by_the_longest() {
    check(&[
        ("api and web", r#"{"api": "1", "web": "1"}"#, true),
        ("android or trueish", r#"{"trueish": "1"}"#, true),
        ("nothing = \"1\"", r#"{"nothing": "1"}"#, true),
        ("nilly = nil and NaNa = nil", "{}", true),
        ("foo.bar = \"1\"", r#"{"foo.bar": "1"}"#, true),
        ("é = \"1\"", r#"{"é": "1"}"#, true),
        ("a-b+c*d&e|f$g?h! = \"1\"", r#"{"a-b+c*d&e|f$g?h!": "1"}"#, true),
        ("disk:free = \"1\"", r#"{"disk:free": "1"}"#, true),
        ("metric_f = 1.0", r#"{"metric": 1.0}"#, false),
        ("metric = .5", r#"{"metric": 0.5}"#, false),
        ("attributes = \"1\"", r#"{"attributes": "1"}"#, true),
        ("not true or true", "{}", true),
        ("true or false and false", "{}", true),
        ("host = \"a\"\nand\tstate,=,\"b\"", r#"{"host": "a", "state": "b"}"#, true),
        (r#"service = "\u00e9""#, r#"{"service": "é"}"#, true),
        (r#"state = "\101\60\7""#, "{\"state\": \"A0\\u0007\"}", true),
        (r#"state = "\777""#, "{\"state\": \"\\u01ff\"}", true),
    ]);
}

#[test]
fn what_riemann_refuses_we_refuse() {
    refused(&[
        "",
        "and",
        "or",
        "not",
        "tagged",
        "()",
        ")",
        "(",
        "@",
        "not and",
        "\"a\" and",
        "host = \"a\" or",
        "(host = \"a\"",
        "member = true and (x",
        "metric = 1 or",
        "metric > 1 and and metric < 3",
        "metric = 1/2",
        "host =~ %a%",
        "host =~ other",
        "host ~= 5",
        "metric > \"2\"",
        "metric < true",
        "metric < other",
        "2 > metric",
        "tagged cat",
        "state = \"\\q\"",
        "state = \"open",
        "metric = 10L",
        "metric = 99999999999999999999",
        "metric = 0x1F",
        "a:",
        "a[0]",
        "{}",
        "#x",
        "host = = \"a\"",
    ]);
}

#[test]
fn what_riemann_passes_over_we_refuse() {
    refused(&[
        "metric = 1 foo",
        "true)",
        "host = \"a\" host = \"b\"",
        "metric = 1 && state = 2",
        "host = \"a\" AND state = \"b\"",
        "metric == 1",
        "metric <> 1",
        "metric = 1 = 1",
        "tagged=\"cat\"",
        "metric = 1e+5",
        "metric = 5.",
        "metric = 5x",
        "metric = -5x",
    ]);
}

#[test]
fn where_we_say_something_else_than_riemann() {
    check(&[
        // Numbers by value.
        ("metric = 1", r#"{"metric": 1.0}"#, true),
        ("metric = 1.0", r#"{"metric": 1}"#, true),
        ("metric != 1", r#"{"metric": 1.0}"#, false),
        ("metric = -0", r#"{"metric": 0.0}"#, true),
        ("time = 5", r#"{"time": 5.0}"#, true),
        ("time = 5", r#"{"time": 5}"#, true),
        ("time = 5.25", r#"{"time": 5.25}"#, true),
        ("ttl = 64", r#"{"ttl": 64.0}"#, true),
        ("ttl = 64.0", r#"{"ttl": 64}"#, true),
        ("ttl = 0.1", r#"{"ttl": 0.1}"#, true),
        ("ttl > 0.1", r#"{"ttl": 0.1}"#, false),
        ("metric = 9007199254740992.0", r#"{"metric": 9007199254740993}"#, false),
        ("metric = 18446744073709551616n", r#"{"metric": 18446744073709551616.0}"#, true),
        // Operators end names.
        ("metric>2", r#"{"metric": 3}"#, true),
        ("metric <-1", r#"{"metric": -5}"#, true),
        ("metric<-1", r#"{"metric": 5}"#, false),
        ("state=\"ok\"", r#"{"state": "ok"}"#, true),
        ("state!=\"ok\"", r#"{"state": "ok"}"#, false),
        ("host=~\"a%\"", r#"{"host": "ab"}"#, true),
        ("host~=\"b\"", r#"{"host": "ab"}"#, true),
        // Single quotes are quotes too.
        ("state = 'ok' and host ='it\\'s \"a\"'", r#"{"state": "ok", "host": "it's \"a\""}"#, true),
        (r#"host = "it's""#, r#"{"host": "it's"}"#, true),
        ("host=~'a%'and(tagged'x')", r#"{"host": "ab", "tags": ["x"]}"#, true),
        // Text ends at its quote.
        (r#"host = "a\\" and service = "b""#, r#"{"host": "a\\", "service": "c"}"#, false),
        (r#"host = "\ud83d\ude00""#, r#"{"host": "😀"}"#, true),
        // Every script has digits, and the text's end is its end.
        (r#"host ~= "^\\d$""#, r#"{"host": "٣"}"#, true),
        ("host ~= \"a$\"", r#"{"host": "a\n"}"#, false),
    ]);
}

#[test]
fn one_stream_is_known_from_whatever_stands_beside_it() {
    let exact = |text: &str| {
        let matcher = Matcher::parse(text).unwrap();
        matcher.exact().map(|(host, service)| (host.map(str::to_owned), service.map(str::to_owned)))
    };
    let some = |host: &str, service: &str| Some((Some(host.to_owned()), Some(service.to_owned())));
    assert_eq!(exact("host = \"a\" and service = \"b\""), some("a", "b"));
    assert_eq!(exact("service = \"b\" and \"a\" = host"), some("a", "b"));
    assert_eq!(exact("(metric > 1 and host = \"a\") and (service = \"b\" and tagged \"x\")"), some("a", "b"));
    assert_eq!(exact("host = nil and service = \"b\""), Some((None, Some("b".to_owned()))));
    for other in [
        "host = \"a\"",
        "host = \"a\" or service = \"b\"",
        "not (host = \"a\" and service = \"b\")",
        "host = \"a\" and service =~ \"b\"",
        "host = \"a\" and service != \"b\"",
        "host = \"a\" and service = state",
    ] {
        assert_eq!(exact(other), None, "{other}");
    }
}

#[test]
fn what_is_the_same_for_every_event_is_known_beforehand() {
    for (text, all, nothing) in [
        ("true", true, false),
        ("not (false or nil)", true, false),
        ("host = 5", false, true),
        ("state = \"a\" and metric ~= \"1\"", false, true),
        ("state", false, false),
    ] {
        let matcher = Matcher::parse(text).unwrap();
        assert_eq!((matcher.wants_all(), matcher.wants_nothing()), (all, nothing), "{text}");
        assert_eq!(matcher.fields() == FieldSet::NONE, all || nothing, "{text}");
        assert_eq!(matcher.text(), text);
    }
    fn shared<T: Clone + Send + Sync>(_: &T) {}
    shared(&Matcher::parse("true").unwrap());
}

#[test]
fn warnings_say_what_a_query_means() {
    let warnings = |text: &str| {
        let query = Query::parse(text).unwrap();
        query
            .warnings()
            .iter()
            .map(|warning| format!("{}: {warning}", &text[warning.span.clone()]))
            .collect::<Vec<_>>()
    };
    assert_eq!(warnings("state = \"ok\" and metric > 1 and host != nil and a = host"), [""; 0]);
    assert_eq!(warnings("state = ok"), ["ok: `ok` is the name of a field: text stands in quotes"]);
    assert_eq!(
        warnings("metric > 1 and rack != 7"),
        ["rack: this is always true: `rack` is text, which is never a number: write it in quotes"]
    );
    assert_eq!(
        warnings("tags = \"a\" or \"1\" = metric"),
        [
            "tags: this is never true: `tags` is a list: ask with `tagged`",
            "metric: this is never true: `metric` is a number, which is never text: leave the quotes out",
        ]
    );
    assert_eq!(
        warnings("metric_f or Nil or +5"),
        [
            "metric_f: `metric_f` is the name of an attribute: an event's number is `metric`",
            "Nil: `Nil` is the name of a field: `nil` is lower case",
            "+5: `+5` is the name of a field: a number has no plus, and a digit before its point",
        ]
    );
}
