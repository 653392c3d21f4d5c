//! The words that events use at the moment, for the completion of queries: a look at part of the index, kept for a while.

use crate::clock;
use crate::ingest::Refused;
use crate::web::Shared;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidegate_engine::query::Matcher;
use tidegate_event::Event;
use tokio::sync::Mutex;

/// Streams that are looked at.
const STREAMS: usize = 10_000;
/// For so long a look is good enough.
const FRESH: Duration = Duration::from_secs(5);
/// Words of a kind that are kept.
const KEPT: usize = 20_000;
/// The longest word that is offered, in bytes.
const LONGEST: usize = 256;

/// Words of one kind, and how many streams use each.
pub type Counted = BTreeMap<String, usize>;

/// What was seen.
#[derive(Debug, Default)]
pub struct Words {
    /// By the name of the field: `host`, `service`, `state`, and the names of attributes.
    pub values: BTreeMap<String, Counted>,
    /// Tags.
    pub tags: Counted,
    /// Attributes, and how many streams have each.
    pub attributes: Counted,
}

/// The last look.
#[derive(Debug, Default)]
pub struct Vocabulary(Mutex<Option<(Instant, Arc<Words>)>>);

impl Vocabulary {
    /// The words of now, or of a moment ago. Whoever asks while somebody looks waits for that look.
    pub async fn words(&self, app: &Shared) -> Result<Arc<Words>, Refused> {
        let mut last = self.0.lock().await;
        if let Some((at, words)) = &*last
            && at.elapsed() < FRESH
        {
            return Ok(words.clone());
        }
        let everything = Matcher::parse("true").unwrap_or_else(|_| unreachable!("`true` is a query"));
        let found = app.ingest.search(&everything, STREAMS).await?;
        let mut words = Words::default();
        found.events().for_each(|event| words.take(&event));
        let words = Arc::new(words);
        *last = Some((clock::start(), words.clone()));
        Ok(words)
    }
}

impl Words {
    fn take(&mut self, event: &Event<'_>) {
        let texts = [
            ("host", event.host_bytes()),
            ("service", event.service_bytes()),
            ("state", event.state_bytes()),
        ];
        for (field, text) in texts {
            if let Some(text) = text {
                count(self.values.entry(field.to_owned()).or_default(), text);
            }
        }
        event.tag_bytes().for_each(|tag| count(&mut self.tags, tag));
        for (name, value) in event.attribute_bytes() {
            count(&mut self.attributes, name);
            let Ok(name) = std::str::from_utf8(name) else { continue };
            if self.attributes.contains_key(name) {
                count(self.values.entry(name.to_owned()).or_default(), value);
            }
        }
    }
}

fn count(words: &mut Counted, word: &[u8]) {
    let Ok(word) = std::str::from_utf8(word) else { return };
    if let Some(n) = words.get_mut(word) {
        *n += 1;
    } else if word.len() <= LONGEST && words.len() < KEPT {
        words.insert(word.to_owned(), 1);
    }
}
