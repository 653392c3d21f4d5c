//! `/api/v1/dead-letters`: events that found no way, and sending them on their way again.

use crate::clock;
use crate::dead_letters::{Letter, Sender, Wanted};
use crate::output::Delivery;
use crate::web::App;
use crate::web::answer::{self, Failure};
use crate::web::params::Params;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde_json::{Value, json};
use std::sync::Arc;
use tidegate_engine::codec::json::encode_event;
use tidegate_event::{Batch, BatchBuilder, Event, NewEvent};

/// Letters in one answer unless asked otherwise, and at most.
const LIST: (usize, usize) = (100, 1_000);

/// The tag of an event that is sent in again, and the attribute that names the letter.
const TAG: &str = "dead-letter";
const ATTRIBUTE: &str = "tidegate.letter";

/// `GET /api/v1/dead-letters`
pub async fn all(State(app): State<App>, uri: Uri) -> Result<Response, Failure> {
    let mut params = Params::of(&uri)?;
    let after = params.take("after")?.map_or(Ok(0), |text| {
        text.parse().map_err(|_| {
            let message =
                format!("parameter `after`: the `next` of an earlier answer was expected, found `{text}`");
            Failure::bad(message)
        })
    })?;
    let wanted = Wanted {
        rule: params.take("rule")?,
        output: params.take("output")?,
        after,
        limit: params.number("limit", LIST.0, LIST.1)?,
    };
    params.finish("`rule`, `output`, `limit` and `after`")?;
    let page = app.letters.list(&wanted);
    let next = page.letters.last().filter(|_| page.more).map(|(number, _)| number.to_string());
    let letters: Vec<Value> = page.letters.iter().map(|(_, letter)| shown(letter)).collect();
    Ok(answer::json(&json!({ "letters": letters, "total": page.total, "next": next })))
}

/// `GET /api/v1/dead-letters/{id}`
pub async fn one(State(app): State<App>, Path(id): Path<String>) -> Result<Response, Failure> {
    Ok(answer::json(&shown(&found(&app, &id)?.1)))
}

/// `DELETE /api/v1/dead-letters/{id}`
pub async fn delete(State(app): State<App>, Path(id): Path<String>) -> Result<Response, Failure> {
    let (number, _) = found(&app, &id)?;
    remove(&app, number).await;
    Ok(answer::json(&json!({ "id": id, "removed": true })))
}

/// `POST /api/v1/dead-letters/{id}/replay`: what a rule choked on comes in again as an event, and what an output could not
/// deliver goes back into its line. The letter is removed when the event is safe there.
pub async fn replay(State(app): State<App>, Path(id): Path<String>) -> Result<Response, Failure> {
    let (number, letter) = found(&app, &id)?;
    let Some(event) = &letter.event else {
        let message = format!("nothing is left of the event of `{id}`: it can only be removed");
        return Err(Failure::new(StatusCode::CONFLICT, message));
    };
    let to = match &letter.from {
        Sender::Rule { .. } => {
            let itself = || app.telemetry.add_input("dead-letters", "dead-letters", "", app.http.level);
            let input = app.revived.get_or_init(itself);
            let acked = app.ingest.append(input, marked(&id, &event.event(0))).await?;
            let stopping = || Failure::from(crate::ingest::Refused::Stopping);
            let accepted = acked.await.map_err(|_| stopping())??;
            json!({ "position": accepted.position })
        }
        Sender::Output { output, rule, declared, n } => {
            let delivery = Delivery {
                rule: rule.as_str().into(),
                declared: declared.as_str().into(),
                position: letter.position,
                n: *n,
                batch: event.clone(),
            };
            if !(app.resend)(output.clone(), delivery).await {
                let message = format!(
                    "the output `{output}` does not take it: it is not configured, has no room, or is stopping"
                );
                return Err(Failure::new(StatusCode::CONFLICT, message));
            }
            json!({ "output": output })
        }
    };
    remove(&app, number).await;
    Ok(answer::json(&json!({ "id": id, "replayed": to })))
}

fn found(app: &App, id: &str) -> Result<(u64, Arc<Letter>), Failure> {
    app.letters.get(id).ok_or_else(|| {
        Failure::new(
            StatusCode::NOT_FOUND,
            format!("there is no dead letter `{id}`: see /api/v1/dead-letters"),
        )
    })
}

/// Removes a letter, off the async threads.
async fn remove(app: &App, number: u64) {
    let letters = app.letters.clone();
    if tokio::task::spawn_blocking(move || letters.remove(number)).await.is_err() {
        tracing::error!(number, "a dead letter could not be removed");
    }
}

/// The same event, which says that it was a dead letter, and which.
fn marked(id: &str, event: &Event<'_>) -> BatchBuilder {
    let tags: Vec<&str> = event.tags().filter(|tag| *tag != TAG).chain([TAG]).collect();
    let others = event.attributes().filter(|(name, _)| *name != ATTRIBUTE);
    let attributes: Vec<(&str, &str)> = others.chain([(ATTRIBUTE, id)]).collect();
    let mut builder = BatchBuilder::new();
    builder.push(&NewEvent {
        time: Some(event.time()),
        host: event.host(),
        service: event.service(),
        state: event.state(),
        metric: event.number(),
        ttl: event.ttl(),
        description: event.description(),
        tags: &tags,
        attributes: &attributes,
        hops: event.hops(),
    });
    builder
}

fn shown(letter: &Letter) -> Value {
    let mut shown = json!({
        "id": letter.id,
        "message": letter.message,
        "position": letter.position,
        "at": clock::iso8601(letter.at),
        "event": letter.event.as_ref().map(event),
    });
    let from = match &letter.from {
        Sender::Rule { rule, generation, module, kind, during } => json!({
            "from": "rule", "rule": rule, "generation": generation, "module": module, "kind": kind,
            "during": during,
        }),
        Sender::Output { output, rule, declared, .. } => {
            json!({ "from": "output", "output": output, "rule": rule, "declared": declared })
        }
    };
    if let (Value::Object(to), Value::Object(from)) = (&mut shown, from) {
        to.extend(from);
    }
    shown
}

fn event(batch: &Batch) -> Value {
    let mut text = Vec::new();
    encode_event(&mut text, &batch.event(0));
    serde_json::from_slice(&text).unwrap_or_default()
}
