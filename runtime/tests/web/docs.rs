//! The examples of `docs/http-api.md`, run: each request is sent as it stands there and must get the answer that follows.

use crate::fake::{Frames, Node, alarm};
use reqwest::Method;
use serde_json::Value;

/// What differs from run to run.
const VOLATILE: [&str; 6] = ["now", "uptime_s", "address", "position", "process", "at"];

/// The lines of a block: what comes first, headers, and what comes after the empty line.
struct Block<'a> {
    first: &'a str,
    headers: Vec<(&'a str, &'a str)>,
    body: &'a str,
}

fn blocks<'a>(text: &'a str, kind: &str) -> Vec<Block<'a>> {
    let open = format!("```{kind}\n");
    let parts = text.split(&open).skip(1);
    parts
        .map(|part| {
            let block = part.split("\n```").next().unwrap();
            let (head, body) = block.split_once("\n\n").unwrap_or((block, ""));
            let mut lines = head.lines();
            let first = lines.next().unwrap();
            let headers = lines.map(|line| line.split_once(": ").expect("a header")).collect();
            Block { first, headers, body }
        })
        .collect()
}

fn without_volatile(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if VOLATILE.contains(&name.as_str()) {
                    *value = Value::Null;
                } else {
                    without_volatile(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(without_volatile),
        _ => {}
    }
}

fn same(found: &str, expected: &str) -> bool {
    let parse = |text| {
        let mut value = serde_json::from_str::<Value>(text).ok()?;
        without_volatile(&mut value);
        Some(value)
    };
    match (parse(found), parse(expected)) {
        (Some(found), Some(expected)) => found == expected,
        _ => found.trim() == expected.trim(),
    }
}

#[tokio::test]
async fn every_example_is_answered_as_it_says() {
    let text = include_str!("../../../docs/http-api.md");
    let (api, riemann) = text.split_once("## Riemann's port").expect("the document has two parts");
    let mut run = 0;
    for (part, on_riemann) in [(api, false), (riemann, true)] {
        let all = blocks(part, "http");
        assert_eq!(all.len() % 2, 0, "requests and answers alternate");
        for pair in all.chunks(2) {
            let (request, answer) = (&pair[0], &pair[1]);
            let node = Node::start().await;
            let (method, path) = request.first.split_once(' ').unwrap();
            let method = method.parse::<Method>().unwrap();
            if path.starts_with("/api/v1/alerts") {
                alarm(&node.alerts);
            }
            let mut ask = if on_riemann { node.ask_riemann(method, path) } else { node.ask(method, path) };
            for (name, value) in &request.headers {
                ask = ask.header(*name, *value);
            }
            let body = if request.body == "(the module)" { "\0asm" } else { request.body };
            let found = ask.body(body.to_owned()).send().await.unwrap();
            assert_eq!(found.status().as_str(), answer.first.split(' ').next().unwrap(), "{}", request.first);
            for (name, value) in &answer.headers {
                assert_eq!(found.headers()[*name], *value, "{}", request.first);
            }
            if found.headers()["content-type"] == "text/event-stream" {
                let mut frames = Frames::of(found);
                let expected = answer.body.lines().filter_map(|line| line.strip_prefix("data: "));
                for data in expected {
                    let data = serde_json::from_str::<Value>(data).unwrap();
                    // Frames of another name may come in between.
                    let mut seen = Vec::new();
                    while seen.last() != Some(&data) {
                        assert!(seen.len() < 5, "{}\nexpected: {data}\nfound: {seen:?}", request.first);
                        seen.extend(frames.next().await.unwrap().data);
                    }
                }
            } else {
                let found = found.text().await.unwrap();
                let starts =
                    answer.body.ends_with('…') && found.starts_with(answer.body.trim_end_matches('…').trim());
                assert!(
                    starts || same(&found, answer.body),
                    "{}\nexpected: {}\nfound: {found}",
                    request.first,
                    answer.body
                );
            }
            run += 1;
        }
    }
    assert!(run >= 18, "{run} examples were run");
}
