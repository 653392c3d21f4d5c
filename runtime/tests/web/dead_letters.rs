//! Dead letters over HTTP: what is listed, where they go when they are sent again, and when they are kept.

use super::fake::Node;
use reqwest::{Method, Response};
use serde_json::Value;
use std::sync::atomic::Ordering::SeqCst;

const RULE: &str = "40:slow:9c0ffee5";
const OUTPUT: &str = "41:slow:0@hook";

async fn json(response: Response) -> Value {
    serde_json::from_str(&response.text().await.unwrap()).unwrap()
}

async fn replay(node: &Node, id: &str) -> Response {
    node.ask(Method::POST, &format!("/api/v1/dead-letters/{id}/replay")).send().await.unwrap()
}

fn is_kept(node: &Node, id: &str) -> bool {
    node.letters.get(id).is_some()
}

#[tokio::test]
async fn pages_go_on_where_the_last_one_ended() {
    let node = Node::start().await;
    let first = json(node.get("/api/v1/dead-letters?limit=1").await).await;
    assert_eq!((first["letters"][0]["id"].as_str(), first["total"].as_u64()), (Some(RULE), Some(2)));
    let next = first["next"].as_str().unwrap();
    let second = json(node.get(&format!("/api/v1/dead-letters?limit=1&after={next}")).await).await;
    assert_eq!((second["letters"][0]["id"].as_str(), &second["next"]), (Some(OUTPUT), &Value::Null));
    let none = json(node.get("/api/v1/dead-letters?rule=other").await).await;
    assert_eq!((none["letters"].as_array().unwrap().len(), none["total"].as_u64()), (0, Some(2)));
    for wrong in ["after=x", "limit=0", "limit=1001", "rules=slow"] {
        assert_eq!(node.get(&format!("/api/v1/dead-letters?{wrong}")).await.status(), 400, "{wrong}");
    }
}

#[tokio::test]
async fn what_a_rule_choked_on_comes_in_whole_and_with_a_mark() {
    let node = Node::start().await;
    assert_eq!(replay(&node, RULE).await.status(), 200);
    assert_eq!((node.appended(), is_kept(&node, RULE)), (vec!["http".to_owned()], false));
    let found = node.appended_event();
    let event = found.event(0);
    assert_eq!((event.host(), event.number()), (Some("web3"), Some(0.into())));
    assert_eq!(event.time(), super::fake::AT);
    assert!(event.tagged("dead-letter"));
    assert_eq!(event.attribute("tidegate.letter"), Some(RULE));
    let input = node.telemetry.inputs()["dead-letters"].clone();
    assert_eq!((input.received.get(), input.accepted.get()), (1, 1));
    assert_eq!(replay(&node, RULE).await.status(), 404);
}

#[tokio::test]
async fn an_event_that_is_not_logged_stays_a_letter() {
    let node = Node::start().await;
    node.broken.store(true, SeqCst);
    assert_eq!(replay(&node, RULE).await.status(), 503);
    assert!(is_kept(&node, RULE));
}

#[tokio::test]
async fn what_an_output_could_not_deliver_goes_back_into_its_line_under_the_same_id() {
    let node = Node::start().await;
    assert_eq!(replay(&node, OUTPUT).await.status(), 200);
    let resent = node.resent.lock().unwrap().clone();
    assert_eq!((resent.len(), resent[0].id()), (1, "41:slow:0".to_owned()));
    assert_eq!(&*resent[0].declared, "board");
    assert!(!is_kept(&node, OUTPUT) && node.appended().is_empty());
}

#[tokio::test]
async fn an_output_that_is_gone_leaves_its_letters_where_they_are() {
    let node = Node::start().await;
    let (_, letter) = node.letters.get(OUTPUT).unwrap();
    let mut gone = (*letter).clone();
    gone.id = "41:slow:0@gone".into();
    if let tidegate::dead_letters::Sender::Output { output, .. } = &mut gone.from {
        *output = "gone".into();
    }
    let empty = tidegate::dead_letters::Letter { id: "gone:spool:7".into(), event: None, ..gone.clone() };
    node.letters.keep(vec![gone, empty]);
    for id in ["41:slow:0@gone", "gone:spool:7"] {
        assert_eq!(replay(&node, id).await.status(), 409, "{id}");
        assert!(is_kept(&node, id), "{id}");
    }
}
