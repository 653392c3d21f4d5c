//! `/api/v1/views`: what people have arranged on the page, under a name, for everybody who opens it.
//!
//! ```text
//! views/DIGEST.json     one view: its name, what the page made of it, who saved it and when; named by its name's digest
//! ```
//!
//! What a view holds is the page's business: here it is a JSON object of bounded size. A file is there whole or not at all.

use crate::clock;
use crate::web::answer::{self, Failure};
use crate::web::{App, body, rules};
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Views at most.
const VIEWS: usize = 200;
/// Bytes of a view as JSON.
const VIEW: usize = 64 << 10;
/// Characters of a name.
const NAME: usize = 100;

/// A view as it is kept and told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct View {
    name: String,
    view: Map<String, Value>,
    by: String,
    at: String,
}

/// All views.
#[derive(Debug, Default)]
pub struct Views {
    folder: Option<PathBuf>,
    views: Mutex<BTreeMap<String, View>>,
}

impl Views {
    /// Views that live as long as the process.
    pub fn memory() -> Self {
        Self::default()
    }

    /// Views in a folder, which is made if need be. A file that cannot be read is reported and left alone.
    pub fn folder(folder: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        let mut views = BTreeMap::new();
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.extension().is_none_or(|end| end != "json") {
                continue;
            }
            let read = fs::read(&path).map_err(|error| error.to_string());
            match read
                .and_then(|json| serde_json::from_slice::<View>(&json).map_err(|error| error.to_string()))
            {
                Ok(view) if views.len() < VIEWS => drop(views.insert(view.name.clone(), view)),
                Ok(_) => {
                    tracing::warn!(path = %path.display(), "more views are kept than the {VIEWS} that are shown")
                }
                Err(error) => tracing::warn!(path = %path.display(), error, "a view cannot be read"),
            }
        }
        Ok(Self { folder: Some(folder), views: Mutex::new(views) })
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<String, View>> {
        self.views.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        let digest = blake3::hash(name.as_bytes()).to_hex();
        self.folder.as_ref().map(|folder| folder.join(format!("{}.json", &digest[..32])))
    }

    /// Keeps a view; `false` if there is no room for one more.
    fn keep(&self, view: View) -> io::Result<bool> {
        // Whoever is second waits until the first is on the disk, so that the file and what is here agree.
        let mut views = self.all();
        if views.len() >= VIEWS && !views.contains_key(&view.name) {
            return Ok(false);
        }
        if let (Some(path), Some(folder)) = (self.path(&view.name), &self.folder) {
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            file.write_all(&serde_json::to_vec(&view)?)?;
            file.as_file().sync_all()?;
            file.persist(path).map_err(|failed| failed.error)?;
            File::open(folder)?.sync_all()?;
        }
        views.insert(view.name.clone(), view);
        Ok(true)
    }

    /// Forgets a view; `false` if there is none of that name.
    fn remove(&self, name: &str) -> io::Result<bool> {
        let mut views = self.all();
        if !views.contains_key(name) {
            return Ok(false);
        }
        if let Some(path) = self.path(name) {
            fs::remove_file(path)?;
        }
        Ok(views.remove(name).is_some())
    }
}

/// `GET /api/v1/views`
pub async fn all(State(app): State<App>) -> Response {
    let views: Vec<View> = app.views.all().values().cloned().collect();
    answer::json(&json!({ "views": views }))
}

/// `GET /api/v1/views/{name}`
pub async fn one(State(app): State<App>, Path(name): Path<String>) -> Result<Response, Failure> {
    app.views.all().get(&name).map(answer::json).ok_or_else(|| unknown(&name))
}

/// `PUT /api/v1/views/{name}`
pub async fn put(
    State(app): State<App>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    if name.trim().is_empty() || name.chars().count() > NAME || name.chars().any(char::is_control) {
        return Err(Failure::bad(format!(
            "a view's name has 1 to {NAME} characters and no control characters"
        )));
    }
    let by = rules::who(&headers)?;
    let bytes = body::read(&headers, body, VIEW, app.limits.body).await?;
    let view = serde_json::from_slice(&bytes)
        .map_err(|error| Failure::bad(format!("a JSON object was expected as the body: {error}")))?;
    let view = View { name, view, by, at: clock::iso8601(clock::now()) };
    let (views, kept) = (app.views.clone(), view.clone());
    let kept = tokio::task::spawn_blocking(move || views.keep(kept)).await;
    match kept.map_err(io::Error::other).and_then(|kept| kept) {
        Ok(true) => Ok(answer::json(&view)),
        Ok(false) => Err(Failure::new(
            StatusCode::CONFLICT,
            format!("{VIEWS} views are kept already: remove one that nobody needs"),
        )),
        Err(error) => Err(disk(&error)),
    }
}

/// `DELETE /api/v1/views/{name}`
pub async fn delete(State(app): State<App>, Path(name): Path<String>) -> Result<Response, Failure> {
    let (views, wanted) = (app.views.clone(), name.clone());
    let removed = tokio::task::spawn_blocking(move || views.remove(&wanted)).await;
    match removed.map_err(io::Error::other).and_then(|removed| removed) {
        Ok(true) => Ok(answer::json(&json!({ "name": name, "removed": true }))),
        Ok(false) => Err(unknown(&name)),
        Err(error) => Err(disk(&error)),
    }
}

fn unknown(name: &str) -> Failure {
    Failure::new(StatusCode::NOT_FOUND, format!("there is no view `{name}`: see /api/v1/views"))
}

fn disk(error: &io::Error) -> Failure {
    Failure::new(StatusCode::SERVICE_UNAVAILABLE, format!("the views cannot be written: {error}"))
        .retry_after(5)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(name: &str) -> View {
        let view = Map::from_iter([("columns".to_owned(), json!(["host"]))]);
        View { name: name.into(), view, by: "eve".into(), at: "2013-04-15T18:06:58.000Z".into() }
    }

    #[test]
    fn views_are_there_again_after_a_start_and_a_damaged_one_harms_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let views = Views::folder(folder.path().join("views")).unwrap();
        for name in ["wall", "a/../b", "night ☾"] {
            assert!(views.keep(view(name)).unwrap());
        }
        assert!(views.remove("wall").unwrap() && !views.remove("wall").unwrap());
        fs::write(folder.path().join("views/broken.json"), b"{").unwrap();
        let again = Views::folder(folder.path().join("views")).unwrap();
        let all: Vec<View> = again.all().values().cloned().collect();
        assert_eq!(all, [view("a/../b"), view("night ☾")]);
    }

    #[test]
    fn one_more_than_there_is_room_for_is_refused_and_an_old_one_can_change() {
        let views = Views::memory();
        (0..VIEWS).for_each(|n| assert!(views.keep(view(&n.to_string())).unwrap()));
        assert!(!views.keep(view("one more")).unwrap());
        assert!(views.keep(view("7")).unwrap());
    }
}
