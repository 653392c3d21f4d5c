//! What is accepted, what is refused, and how a refusal looks.

use super::section::HIDDEN;
use super::*;
use crate::output::http;
use expect_test::{Expect, expect};
use std::time::Duration;

fn environment(pairs: &[(&str, &str)]) -> Environment {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn good(text: &str, pairs: &[(&str, &str)]) -> Config {
    let source = Source { path: Some("tidegate.toml".into()), text: text.to_owned() };
    parse(source, &environment(pairs)).unwrap_or_else(|error| panic!("{error}"))
}

fn refused(text: &str, pairs: &[(&str, &str)], expected: &Expect) {
    let source = Source { path: Some("tidegate.toml".into()), text: text.to_owned() };
    match parse(source, &environment(pairs)) {
        Ok(config) => panic!("accepted as {config:#?}"),
        Err(error) => expected.assert_eq(&format!("{error}\n")),
    }
}

#[test]
fn without_a_file_a_node_speaks_riemann_and_watches_its_machine() {
    let config = good("", &[]);
    let names: Vec<_> = config.inputs.iter().map(|input| input.name.as_str()).collect();
    assert_eq!(names, ["riemann", "this-machine"]);
    let InputKind::Riemann(riemann) = &config.inputs[0].kind else { panic!("{:?}", config.inputs[0]) };
    let port = ([127, 0, 0, 1], 5555).into();
    assert_eq!(riemann, &Riemann { tcp: Some(port), udp: Some(port), ..Riemann::silent() });
    assert_eq!(config.http.address.to_string(), "127.0.0.1:5559");
    assert_eq!(config.websocket.address.to_string(), "127.0.0.1:5556");
    assert!(config.outputs.is_empty(), "nothing is printed unless asked for");
    assert!(config.warnings().is_empty());
}

#[test]
fn every_value_can_be_given() {
    let config = good(
        r#"
        data = "/var/lib/tidegate"
        [log]
        enabled = false
        segment = "8MiB"
        keep_bytes = "2GiB"
        keep_for = "12h"
        [engine]
        shards = 3
        in_flight = "16MiB"
        default_ttl = "90s"
        max_streams = 5_000
        [inputs.r]
        type = "riemann"
        tcp = "127.0.0.1:0"
        stall = "250ms"
        [outputs.hook]
        type = "webhook"
        url = "http://127.0.0.1:1/x"
        headers = { authorization = "Bearer 1" }
        queue = "1MiB"
        on_full = "drop_newest"
        "#,
        &[],
    );
    assert!(!config.log.enabled);
    assert_eq!((config.log.segment, config.log.keep_for), (8 << 20, Duration::from_secs(12 * 3600)));
    assert_eq!((config.engine.shards, config.engine.max_streams), (3, 5000));
    assert_eq!(config.engine.default_ttl, tidegate_event::Span::secs(90));
    assert_eq!(config.inputs.len(), 1, "a file that names inputs names all of them");
    let InputKind::Riemann(riemann) = &config.inputs[0].kind else { panic!() };
    assert_eq!((riemann.udp, riemann.stall), (None, Duration::from_millis(250)));
    assert_eq!(config.outputs[0].common.on_full, OnFull::DropNewest);
    assert_eq!(config.outputs[0].common.queue, 1 << 20);
}

#[test]
fn all_mistakes_are_reported_each_with_its_line() {
    refused(
        r#"[engine]
max_streams = "two"
in_flite = "64MiB"

[outputs.live]
type = "console"

[outputs.hook]
type = "console"
on_full = "drop_oldes"

[outputs.Pager]
type = "console"

[inputs.machine]
type = "host"
every = "5 parsecs"
"#,
        &[],
        &expect![[r#"
            error: `max_streams` is "two", a whole number from 1 to 1000000000 was expected
             --> tidegate.toml:2:15
              |
            2 | max_streams = "two"
              |               ^^^^^ such as 1000000

            error: unknown key `in_flite` in [engine]
             --> tidegate.toml:3:1
              |
            3 | in_flite = "64MiB"
              | ^^^^^^^^ did you mean `in_flight`?

            error: the output `live` always exists: it is the page
             --> tidegate.toml:5:1
              |
            5 | [outputs.live]
              | ^^^^^^^^^^^^^^ choose another name

            error: `on_full` is "drop_oldes", one of "drop_oldest", "drop_newest" was expected
              --> tidegate.toml:10:11
               |
            10 | on_full = "drop_oldes"
               |           ^^^^^^^^^^^^ such as "drop_oldest"

            error: `Pager` is no name: 1 to 64 of a-z 0-9 . _ - were expected
              --> tidegate.toml:12:10
               |
            12 | [outputs.Pager]
               |          ^^^^^

            error: `every` is "5 parsecs", a length of time from 100ms to 1d was expected
              --> tidegate.toml:17:9
               |
            17 | every = "5 parsecs"
               |         ^^^^^^^^^^^ such as "5s"

            6 errors, nothing was changed
        "#]],
    );
}

#[test]
fn an_unknown_type_of_output_is_answered_with_those_there_are() {
    let source = Source { path: None, text: "[outputs.hook]\ntype = \"webhok\"\n".into() };
    let error = parse(source, &Environment::new()).unwrap_err().to_string();
    for word in OutputKind::WORDS {
        assert!(error.contains(&format!("\"{word}\"")), "{word} in {error}");
    }
}

#[test]
fn every_type_of_output_can_be_printed_and_read_again() {
    let shown = |text: &str, word: &str| {
        let outputs = good(text, &[]).outputs;
        outputs.into_iter().find(|output| output.name == word).expect("it is there").shown
    };
    // Some types name others.
    let other = "[outputs.console]\ntype = \"console\"\n";
    for (word, needed) in OutputKind::WORDS.iter().zip(OutputKind::NEEDED) {
        let own = format!("[outputs.{word}]\ntype = \"{word}\"\n{needed}\n");
        let other = if *word == "console" { "" } else { other };
        let first = shown(&format!("{other}{own}"), word);
        assert_eq!(first["type"].as_str(), Some(*word));
        let named = toml::Table::from_iter([((*word).to_owned(), first.clone().into())]);
        let text = toml::Table::from_iter([("outputs".to_owned(), named.into())]).to_string();
        // A secret is not shown, so it cannot be read again.
        if !text.contains(HIDDEN) {
            assert_eq!(shown(&format!("{other}{text}"), word), first, "{text}");
        }
    }
}

#[test]
fn a_mistake_of_grammar_is_shown_alone() {
    refused(
        "data = \n[engine]\nshards = [1\n",
        &[],
        &expect![[r#"
        error: string values must be quoted, expected literal string
         --> tidegate.toml:1:8
          |
        1 | data = 
          |        ^

        error: unclosed array, expected `]`
         --> tidegate.toml:3:12
          |
        3 | shards = [1
          |            ^

        2 errors, nothing was changed
    "#]],
    );
}

#[test]
fn what_is_missing_is_named() {
    refused(
        "[inputs.a]\n[outputs.b]\ntype = \"graphite\"\n",
        &[],
        &expect![[r#"
        error: `type` is missing in [inputs.a]
         --> tidegate.toml:1:1
          |
        1 | [inputs.a]
          | ^^^^^^^^^^ such as type = "riemann"

        error: `address` is missing in [outputs.b]
         --> tidegate.toml:2:1
          |
        2 | [outputs.b]
          | ^^^^^^^^^^^ such as address = "127.0.0.1:2003"

        2 errors, nothing was changed
    "#]],
    );
}

#[test]
fn the_environment_overrides_the_file_and_the_defaults() {
    let config = good(
        "[engine]\nshards = 1\n",
        &[
            ("TIDEGATE__ENGINE__SHARDS", "2"),
            ("TIDEGATE__HTTP__ADDRESS", "127.0.0.1:0"),
            ("TIDEGATE__INPUTS__THIS_MACHINE__EVERY", "1s"),
            ("TIDEGATE__LOG__ENABLED", "false"),
            ("TIDEGATE_LOG", "debug"),
            ("OTHER__ENGINE__SHARDS", "9"),
        ],
    );
    assert_eq!((config.engine.shards, config.http.address.port(), config.log.enabled), (2, 0, false));
    let InputKind::Host(host) = &config.inputs[1].kind else { panic!() };
    assert_eq!(host.every, Duration::from_secs(1));
}

#[test]
fn a_mistake_in_the_environment_names_the_variable() {
    refused(
        "",
        &[
            ("TIDEGATE__ENGINE__SHARD", "2"),
            ("TIDEGATE__DATA__X", "1"),
            ("TIDEGATE__", "1"),
            ("TIDEGATE__LOG__SEGMENT", "1"),
        ],
        &expect![[r#"
            error: a name such as TIDEGATE__HTTP__ADDRESS was expected
             --> environment variable TIDEGATE__

            error: `data` is a table, text was expected
             --> environment variable TIDEGATE__DATA__X
              = such as "./tidegate-data"

            error: `segment` is 1, a size from 1MiB to 4GiB was expected
             --> environment variable TIDEGATE__LOG__SEGMENT
              = such as "64MiB"

            error: unknown key `shard` in [engine]
             --> environment variable TIDEGATE__ENGINE__SHARD
              = did you mean `shards`?

            4 errors, nothing was changed
        "#]],
    );
}

#[test]
fn whoever_opens_the_control_interface_says_so() {
    refused(
        "[http]\naddress = \"0.0.0.0:5559\"\n",
        &[],
        &expect![[r#"
        error: 0.0.0.0:5559 would let every machine that reaches it read all there is
         --> tidegate.toml:2:11
          |
        2 | address = "0.0.0.0:5559"
          |           ^^^^^^^^^^^^^^ use 127.0.0.1, or set http.allow_remote = true where only trusted machines can connect

        1 error, nothing was changed
    "#]],
    );
    let config = good("[http]\naddress = \"0.0.0.0:5559\"\nallow_remote = true\n", &[]);
    expect![[r#"
        warning: 0.0.0.0:5559 can be reached from other machines, without encryption or a password
         --> tidegate.toml:2:11
          |
        2 | address = "0.0.0.0:5559"
          |           ^^^^^^^^^^^^^^ use 127.0.0.1, or a firewall
    "#]]
    .assert_eq(&config.warnings().concat());
}

#[test]
fn secrets_come_from_elsewhere_and_are_never_printed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "t0psecret\n").unwrap();
    let text = format!(
        "[outputs.hook]\ntype = \"webhook\"\nurl = {{ env = \"HOOK\" }}\nheaders = {{ authorization = {{ file = {:?} }} }}\n",
        file.display().to_string()
    );
    let config = good(&text, &[("HOOK", "http://127.0.0.1/h1dden")]);
    let OutputKind::Webhook(webhook) = &config.outputs[0].kind else { panic!() };
    let http::Settings { url, headers, .. } = &webhook.http;
    assert_eq!(url.reveal(), "http://127.0.0.1/h1dden");
    assert_eq!(headers[0].1.reveal(), "t0psecret");
    let printed = format!("{config:?}");
    assert!(!printed.contains("h1dden") && !printed.contains("t0psecret"), "{printed}");
    refused(
        "[outputs.hook]\ntype = \"webhook\"\nurl = { env = \"NOT_SET\" }\n",
        &[],
        &expect![[r#"
            error: the environment variable NOT_SET is not set
             --> tidegate.toml:3:7
              |
            3 | url = { env = "NOT_SET" }
              |       ^^^^^^^^^^^^^^^^^^^

            1 error, nothing was changed
        "#]],
    );
    refused(
        "[outputs.hook]\ntype = \"webhook\"\nurl = \"ftp://example.com/h1dden\"\nheaders = { a = \"h1dden\\n\" }\n",
        &[],
        &expect![[r#"
            error: `url` begins with ftp://, http:// or https:// was expected
             --> tidegate.toml:3:7
              = such as "https://example.com/alerts"

            error: `a` cannot be sent as a header
             --> tidegate.toml:4:11

            2 errors, nothing was changed
        "#]],
    );
    refused(
        "[outputs.hook]\ntype = \"webhook\"\nurl = { env = \"HOOK\" }\n",
        &[("HOOK", "ftp://example.com/h1dden")],
        &expect![[r#"
            error: `url` begins with ftp://, http:// or https:// was expected
             --> tidegate.toml:3:7
              |
            3 | url = { env = "HOOK" }
              |       ^^^^^^^^^^^^^^^^ such as "https://example.com/alerts"

            1 error, nothing was changed
        "#]],
    );
}

#[test]
fn a_named_file_that_is_not_there_is_a_mistake_and_an_unnamed_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.toml");
    assert!(load(Some(&path), &Environment::new()).is_err());
    let variable = environment(&[(VARIABLE, path.to_str().unwrap())]);
    assert!(load(None, &variable).is_err());
    std::fs::write(&path, "data = \"here\"").unwrap();
    let config = load(None, &variable).unwrap();
    assert_eq!(config.data, Path::new("here"));
    assert_eq!(config.path(), Some(path.as_path()));
    assert_eq!(load(Some(&path), &Environment::new()).unwrap().data, Path::new("here"));
}

#[test]
fn a_letter_more_or_less_is_understood_as_a_slip() {
    let known = ["threshold", "address", "on_full"];
    assert_eq!(section::nearest("threshhold", &known), Some("threshold"));
    assert_eq!(section::nearest("adress", &known), Some("address"));
    assert_eq!(section::nearest("colour", &known), None);
}

#[test]
fn sizes_have_units() {
    for (text, size) in [("64MiB", 64 << 20), ("1.5 KiB", 1536), ("2kB", 2000), ("7B", 7)] {
        assert_eq!(section::bytes(text), Some(size), "{text}");
    }
    for bad in ["64", "", "MiB", "-1B", "1 parsec", "1e30GiB"] {
        assert_eq!(section::bytes(bad), None, "{bad}");
    }
}

#[test]
fn no_text_makes_the_reader_panic() {
    use proptest::prelude::*;
    proptest!(ProptestConfig { cases: 2000, failure_persistence: None, ..Default::default() },
        |(text in "([a-z]{1,4}|=|\\[|\\]|\\{|\\}|\"|'|\\.|\n| |#|1|-|inputs|outputs|type|http|é){0,24}")| {
        let source = Source { path: None, text };
        if let Err(error) = parse(source, &Environment::new()) {
            prop_assert!(!error.to_string().is_empty());
        }
    });
}

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What is said of the configuration.
fn manual() -> String {
    page("operating.md") + &page("outputs.md")
}

/// The TOML blocks of the manual.
fn examples(manual: &str) -> Vec<&str> {
    manual.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

#[test]
fn every_example_in_the_manual_is_a_configuration() {
    let manual = manual();
    let examples = examples(&manual);
    assert!(examples.len() >= 6, "{} examples", examples.len());
    for example in examples {
        good(example, &[]);
    }
}

#[test]
fn every_key_is_in_the_manual_with_its_default() {
    let manual = manual();
    let examples = examples(&manual).concat();
    for key in keys() {
        let name = key.rsplit('.').next().unwrap();
        let given = examples.lines().any(|line| {
            let line = line.trim_start_matches("# ");
            line.strip_prefix(name).is_some_and(|rest| rest.trim_start().starts_with('='))
                || line.starts_with(&format!("[{name}"))
                || line.split(']').next().is_some_and(|line| line.ends_with(&format!(".{name}")))
        });
        assert!(given, "`{key}` is neither in docs/operating.md nor in docs/outputs.md");
    }
}

#[test]
fn what_the_manual_gives_as_defaults_are_the_defaults() {
    let manual = manual();
    let given: Vec<Config> = examples(&manual).into_iter().map(|example| good(example, &[])).collect();
    let default = good("", &[]);
    let [built_in, everything, riemann, host, fleet, common, ..] = &given[..] else {
        panic!("{}", given.len())
    };
    assert_eq!(built_in.inputs, default.inputs);
    assert_eq!((&everything.data, &everything.log), (&default.data, &default.log));
    assert_eq!((&everything.engine, &everything.http), (&default.engine, &default.http));
    assert_eq!(everything.websocket, default.websocket);
    assert_eq!(everything.sse, default.sse);
    assert_eq!(everything.instrumentation, default.instrumentation);
    assert_eq!(riemann.inputs, default.inputs[..1]);
    assert_eq!(host.inputs, default.inputs[1..]);
    assert_eq!(fleet.inputs, good("[inputs.fleet]\ntype = \"fleet\"\n", &[]).inputs);
    let filter = common.outputs[0].common.filter.clone();
    assert!(filter.is_some());
    assert_eq!(common.outputs[0].common, Common { filter, ..Common::default() });
    let minimal = good("[outputs.c]\ntype = \"console\"\n", &[]);
    assert_eq!(minimal.outputs[0].common, Common::default());
}

#[test]
fn a_query_that_does_not_parse_is_a_mistake_in_its_line() {
    let text = "[outputs.c]\ntype = \"console\"\nwhere = \"state = \"\n";
    let source = Source { path: None, text: text.to_owned() };
    let error = parse(source, &Environment::new()).unwrap_err();
    let [problem] = error.problems() else { panic!("{error}") };
    assert!(problem.message.starts_with("`where` is no query: "), "{error}");
    assert_eq!(problem.spot, Spot::File(text.find("\"state").unwrap()..text.len() - 1));
}
