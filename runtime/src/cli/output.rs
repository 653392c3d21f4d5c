//! `tidegate output`: tries one output of the configuration with events from a file, without a node.

use super::failure::{Exit, Failure, OrExit};
use super::screen::{Screen, count, plain};
use crate::clock;
use crate::config::{self, Output};
use crate::output::{Delivery, Place, Verdict, Which};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::{IsTerminal, Read};
use std::path::PathBuf;
use std::sync::Arc;
use tidegate_engine::codec;
use tidegate_event::{BatchBuilder, FieldSet};

/// Bytes of events that are read at most.
const MOST: u64 = 64 << 20;

/// The rule that these events are said to come from.
const RULE: &str = "try";

/// Which output, and with what.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The output's name in the configuration.
    name: String,
    /// Events as JSON, one on each line; standard input if left out.
    file: Option<PathBuf>,
    /// Only show what would be sent.
    #[arg(long)]
    dry_run: bool,
    /// The configuration; else the one that `tidegate run` would take.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Sends each event once, or shows what would be sent, and says what became of all.
pub async fn go(args: Args, screen: &Screen) -> Result<(), Failure> {
    let config = config::load(args.config.as_deref(), &config::environment()).or_exit(Exit::Invalid)?;
    let names: Vec<&str> = config.outputs.iter().map(|output| output.name.as_str()).collect();
    let Some(output) = config.outputs.iter().find(|output| output.name == args.name) else {
        let known = if names.is_empty() { "there are none".into() } else { names.join(", ") };
        let message = format!("the configuration has no output `{}`: {known}", args.name);
        return Err(Failure::say(Exit::Usage, message));
    };
    let events = read(args.file.as_deref())?;
    let trial = Trial { output, dry: args.dry_run, screen };
    trial.go(events).await
}

/// The events of a file, as if a rule had forwarded them.
fn read(path: Option<&std::path::Path>) -> Result<Vec<Arc<Delivery>>, Failure> {
    let mut text = String::new();
    let (name, read) = match path {
        Some(path) => {
            let file = std::fs::File::open(path);
            let read = file.and_then(|file| file.take(MOST + 1).read_to_string(&mut text));
            (path.display().to_string(), read)
        }
        None if std::io::stdin().is_terminal() => {
            let message =
                "nothing to send: name a file, or give an event as JSON on each line of standard input";
            return Err(Failure::say(Exit::Usage, message));
        }
        None => ("standard input".into(), std::io::stdin().lock().take(MOST + 1).read_to_string(&mut text)),
    };
    let read = read.map_err(|error| Failure::say(Exit::Failed, format!("{name} cannot be read: {error}")))?;
    if read as u64 > MOST {
        return Err(Failure::say(Exit::Usage, format!("{name} has more than {MOST} bytes")));
    }
    let mut events = BatchBuilder::new();
    for (n, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        codec::json::decode_event(&mut events, line.trim()).map_err(|error| {
            Failure::say(Exit::Usage, format!("{name}, line {}: {}", n + 1, error.message))
        })?;
    }
    events.stamp(0, clock::now());
    let events = events.finish();
    let deliveries = events.events().zip(0..).map(|(event, n)| {
        let mut one = BatchBuilder::new();
        one.copy(&event, FieldSet::ALL, |_| {});
        let (rule, declared) = (RULE.into(), RULE.into());
        Arc::new(Delivery { rule, declared, position: 0, n, batch: one.finish() })
    });
    Ok(deliveries.collect())
}

struct Trial<'a> {
    output: &'a Output,
    dry: bool,
    screen: &'a Screen,
}

impl Trial<'_> {
    async fn go(&self, events: Vec<Arc<Delivery>>) -> Result<(), Failure> {
        let total = events.len();
        let mut left: VecDeque<Vec<Arc<Delivery>>> =
            events.chunks(self.output.common.batch).map(<[_]>::to_vec).collect();
        let (mut fine, mut refused) = (0, Vec::new());
        let place = Place::alone(&self.output.name, self.output.common.batch);
        // What is left changes with each outcome, so each batch is a trial of its own.
        while let Some(batch) = left.pop_front() {
            let tried = self.output.kind.try_out(&place, self.dry, &batch).await;
            let outcome = tried
                .map_err(|why| Failure::say(Exit::Invalid, format!("output {}: {why}", self.output.name)))?;
            let error = match outcome {
                Ok(text) => {
                    fine += batch.len();
                    self.show(text)?;
                    continue;
                }
                Err(error) => error,
            };
            let arrived = error.delivered.min(batch.len());
            fine += if self.dry { 0 } else { arrived };
            let (front, rest) = batch.split_at(arrived);
            // In a preview those before the refused one have not been shown.
            let mut again = if self.dry && !front.is_empty() { vec![front.to_vec()] } else { Vec::new() };
            let rest = match error.verdict {
                Verdict::Refused(Which::First) => {
                    refused.extend(rest.first().map(|event| (event.n, error.message.clone())));
                    rest.get(1..).unwrap_or_default()
                }
                Verdict::Refused(Which::Some) if rest.len() > 1 => {
                    again.extend(rest.chunks(1).map(<[_]>::to_vec));
                    &[]
                }
                Verdict::Refused(_) => {
                    refused.extend(rest.iter().map(|event| (event.n, error.message.clone())));
                    &[]
                }
                Verdict::Later(_) => {
                    let message = format!("{fine} of {} arrived: {}", count(total, "event"), error.message);
                    return Err(Failure::say(Exit::Failed, message));
                }
            };
            if !rest.is_empty() {
                again.push(rest.to_vec());
            }
            again.into_iter().rev().for_each(|batch| left.push_front(batch));
        }
        self.end(total, fine, &refused)
    }

    fn show(&self, text: Option<String>) -> Result<(), Failure> {
        match text {
            None => Ok(()),
            Some(text) if self.screen.json => self.screen.value(&json!({ "would_send": text })),
            Some(text) => {
                let text: Vec<String> = text.lines().map(plain).collect();
                self.screen.line(text.join("\n"))
            }
        }
    }

    fn end(&self, total: usize, fine: usize, refused: &[(u32, String)]) -> Result<(), Failure> {
        if self.screen.json {
            let why = |(n, why): &(u32, String)| json!({ "event": n + 1, "why": why });
            let refused: Vec<Value> = refused.iter().map(why).collect();
            let word = if self.dry { "would_be_sent" } else { "arrived" };
            self.screen.value(&json!({ "events": total, word: fine, "refused": refused }))?;
        } else {
            for (n, why) in refused {
                eprintln!("event {} is refused: {}", n + 1, plain(why));
            }
            let did = if self.dry { "would be sent" } else { "arrived" };
            eprintln!("{fine} of {} {did}", count(total, "event"));
        }
        match refused {
            [] => Ok(()),
            refused => Err(Failure::say(Exit::Failed, format!("{} refused", count(refused.len(), "event")))),
        }
    }
}
