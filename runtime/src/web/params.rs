//! Parameters of a request, each used once: a misspelt one is an error and not silence.

use crate::web::answer::Failure;
use axum::extract::Query;
use axum::http::Uri;
use std::collections::BTreeMap;
use tidegate_engine::query::Matcher;

/// What stands behind the question mark, decoded: `%41` and `+` as in forms.
#[derive(Debug, Default)]
pub struct Params(Vec<(String, String)>);

impl Params {
    /// The parameters of an address.
    pub fn of(uri: &Uri) -> Result<Self, Failure> {
        let pairs = Query::<Vec<(String, String)>>::try_from_uri(uri);
        pairs.map(|Query(pairs)| Self(pairs)).map_err(|error| Failure::bad(error.body_text()))
    }

    /// The parameter of that name, if it was given; twice is an error.
    pub fn take(&mut self, name: &str) -> Result<Option<String>, Failure> {
        let Some(at) = self.0.iter().position(|(key, _)| key == name) else { return Ok(None) };
        let (_, value) = self.0.remove(at);
        if self.0.iter().any(|(key, _)| key == name) {
            return Err(Failure::bad(format!("parameter `{name}` is given twice: give it once")));
        }
        Ok(Some(value))
    }

    /// A whole number from 1 to `max`.
    pub fn number(&mut self, name: &str, default: usize, max: usize) -> Result<usize, Failure> {
        let Some(text) = self.take(name)? else { return Ok(default) };
        text.parse().ok().filter(|number| (1..=max).contains(number)).ok_or_else(|| {
            Failure::bad(format!("parameter `{name}`: a number from 1 to {max} was expected, found `{text}`"))
        })
    }

    /// `true` or `false`; left out means no.
    pub fn flag(&mut self, name: &str) -> Result<bool, Failure> {
        match self.take(name)?.as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => Err(Failure::bad(format!(
                "parameter `{name}`: `true` or `false` was expected, found `{other}`"
            ))),
        }
    }

    /// The query in `q`; left out means everything.
    pub fn matcher(&mut self) -> Result<Matcher, Failure> {
        Ok(Matcher::parse(self.take("q")?.as_deref().unwrap_or("true"))?)
    }

    /// All parameters whose names start with `prefix`, without it.
    pub fn with_prefix(&mut self, prefix: &str) -> Result<BTreeMap<String, String>, Failure> {
        let mut found = BTreeMap::new();
        let mut rest = Vec::with_capacity(self.0.len());
        for (key, value) in std::mem::take(&mut self.0) {
            match key.strip_prefix(prefix) {
                Some("") => return Err(Failure::bad(format!("a name is missing after `{prefix}`"))),
                Some(name) => {
                    if found.insert(name.to_owned(), value).is_some() {
                        return Err(Failure::bad(format!("parameter `{key}` is given twice: give it once")));
                    }
                }
                None => rest.push((key, value)),
            }
        }
        self.0 = rest;
        Ok(found)
    }

    /// Refuses whatever was not taken.
    pub fn finish(self, known: &str) -> Result<(), Failure> {
        match self.0.first() {
            None => Ok(()),
            Some((key, _)) => {
                Err(Failure::bad(format!("unknown parameter `{key}`: this route knows {known}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(query: &str) -> Params {
        Params::of(&format!("/x?{query}").parse().unwrap()).unwrap()
    }

    #[test]
    fn plus_and_percent_are_decoded() {
        assert_eq!(params("q=a+%3D+%22b%22").take("q").unwrap().unwrap(), "a = \"b\"");
    }

    #[test]
    fn numbers_keep_to_their_range() {
        assert_eq!(params("").number("limit", 7, 10).unwrap(), 7);
        assert_eq!(params("limit=10").number("limit", 7, 10).unwrap(), 10);
        for bad in ["limit=0", "limit=11", "limit=x", "limit=", "limit=1&limit=2"] {
            assert!(params(bad).number("limit", 7, 10).is_err(), "{bad}");
        }
    }

    #[test]
    fn prefixed_names_are_collected_and_the_rest_is_refused() {
        let mut params = params("set.limit=5&to.board=live&q=true");
        assert_eq!(params.with_prefix("set.").unwrap(), BTreeMap::from([("limit".into(), "5".into())]));
        assert_eq!(params.with_prefix("to.").unwrap(), BTreeMap::from([("board".into(), "live".into())]));
        assert!(params.finish("`set.NAME`").is_err());
    }
}
