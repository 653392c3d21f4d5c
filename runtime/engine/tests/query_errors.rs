//! What people are told about a query that is none: `query_errors/NAME.query` and what is printed for it, in
//! `query_errors/NAME.txt`. `UPDATE=1 cargo test -p tidegate-engine --test query_errors` writes the latter anew.

use std::fs;
use std::path::{Path, PathBuf};
use tidegate_engine::query::Matcher;

#[test]
fn every_mistake_is_pointed_at() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/query_errors");
    let files = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let (queries, others): (Vec<PathBuf>, Vec<PathBuf>) =
        files.partition(|path| path.extension().is_some_and(|extension| extension == "query"));
    assert!(queries.len() >= 15, "the cases were found: {}", queries.len());
    let update = std::env::var_os("UPDATE").is_some();
    let mut wrong = Vec::new();
    for path in &queries {
        let text = fs::read_to_string(path).unwrap();
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let Err(error) = Matcher::parse(text) else { panic!("{}: this is a query", path.display()) };
        assert!(
            text.get(error.span.clone()).is_some(),
            "{}: {:?} is a part of it",
            path.display(),
            error.span
        );
        let found = format!("{error}\n");
        let expected = path.with_extension("txt");
        if update {
            fs::write(&expected, found).unwrap();
        } else if fs::read_to_string(&expected).ok().as_deref() != Some(&found) {
            wrong.push(format!("{}:\n{found}", path.display()));
        }
    }
    for path in others {
        assert!(queries.contains(&path.with_extension("query")), "{} belongs to no query", path.display());
    }
    assert!(wrong.is_empty(), "UPDATE=1 accepts these:\n\n{}", wrong.join("\n"));
}
