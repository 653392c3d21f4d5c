//! What a pipeline of the `standard` rule does, stage by stage, for people.

use crate::cli::failure::{Exit, Failure};
use crate::cli::screen::{Screen, plain};
use serde_json::{Value, json};
use standard::plan::{BRANCHES, Plan};
use standard::tree::Tree;
use standard::words;
use std::path::Path;

/// Whether a file is a pipeline rather than a module.
pub fn is_one(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "toml" || end == "json")
}

/// A pipeline that was read.
pub struct Pipeline {
    plan: Plan,
    tree: Tree,
}

/// Reads one; the error points at what is wrong.
pub fn read(path: &Path) -> Result<Pipeline, Failure> {
    let name = path.display();
    let invalid = |error: String| Failure::say(Exit::Invalid, format!("{name}: {error}"));
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::say(Exit::Invalid, format!("{name} cannot be read: {error}")))?;
    let tree = Tree::parse(&text).map_err(invalid)?;
    let plan = Plan::of(&tree).map_err(invalid)?;
    Ok(Pipeline { plan, tree })
}

/// A pipeline for machines.
pub fn as_json(path: &Path, found: &Pipeline) -> Value {
    json!({ "file": path, "stages": found.plan.nodes.len(), "outputs": found.plan.outputs })
}

/// A pipeline for people: each stage as it is written, what it does, what it remembers.
pub fn describe(path: &Path, found: &Pipeline, screen: &Screen) -> Result<(), Failure> {
    let mut names = found.plan.outputs.clone();
    names.sort();
    let outputs = match &names[..] {
        [] => "no output: nothing it finds is sent anywhere".to_owned(),
        names => format!("sends to {}", names.join(", ")),
    };
    screen.line(format_args!("{}: {}, {outputs}", path.display(), stages(found.plan.nodes.len())))?;
    let mut lines = Vec::new();
    if let Tree::Map(map) = &found.tree {
        map.iter()
            .filter(|(name, _)| name == "stage" || name == "stages")
            .for_each(|(_, list)| tell(list, 1, &mut lines));
    }
    let width = lines.iter().map(|(written, _)| written.chars().count()).max().unwrap_or(0).min(60);
    for (written, does) in lines {
        screen.line(plain(format!("{written:width$}  {does}").trim_end()))?;
    }
    Ok(())
}

fn stages(count: usize) -> String {
    if count == 1 { "1 stage".to_owned() } else { format!("{count} stages") }
}

/// One line for each stage, branches indented under it.
fn tell(list: &Tree, deep: usize, lines: &mut Vec<(String, String)>) {
    let indent = "  ".repeat(deep);
    for stage in one_or_all(list) {
        let Tree::Map(map) = stage else { continue };
        let word = map.iter().find_map(|(name, _)| words::find(name));
        let own: Vec<String> = map
            .iter()
            .filter(|(name, _)| !BRANCHES.contains(&name.as_str()))
            .map(|(name, value)| format!("{name} = {}", written(value)))
            .collect();
        let own = match (own.is_empty(), word) {
            (true, Some(word)) => word.name.to_owned(),
            _ => own.join(", "),
        };
        let does = word.map_or(String::new(), |word| match word.keeps {
            "" => word.does.to_owned(),
            keeps => format!("{} (remembers {keeps})", word.does),
        });
        lines.push((format!("{indent}{own}"), does));
        for (name, value) in map.iter().filter(|(name, _)| BRANCHES.contains(&name.as_str())) {
            branches(name, value, deep, lines);
        }
    }
}

fn branches(name: &str, value: &Tree, deep: usize, lines: &mut Vec<(String, String)>) {
    let indent = "  ".repeat(deep + 1);
    match name {
        "split" | "clauses" => {
            for clause in one_or_all(value) {
                let Tree::Map(map) = clause else { continue };
                for (name, value) in map.iter().filter(|(name, _)| name != "then") {
                    lines.push((format!("{indent}{name} {}:", written(value)), String::new()));
                }
                map.iter()
                    .filter(|(name, _)| name == "then")
                    .for_each(|(_, then)| tell(then, deep + 2, lines));
            }
        }
        "each" => {
            for (number, branch) in one_or_all(value).iter().enumerate() {
                lines.push((format!("{indent}branch {}:", number + 1), String::new()));
                tell(branch, deep + 2, lines);
            }
        }
        name => {
            lines.push((format!("{indent}{name}:"), String::new()));
            tell(value, deep + 2, lines);
        }
    }
}

/// A list of stages may be one stage.
fn one_or_all(list: &Tree) -> &[Tree] {
    match list {
        Tree::List(list) => list,
        one => std::slice::from_ref(one),
    }
}

/// A value as one would write it.
fn written(value: &Tree) -> String {
    match value {
        Tree::Null => "null".to_owned(),
        Tree::Flag(flag) => flag.to_string(),
        Tree::Int(value) => value.to_string(),
        Tree::Float(value) => value.to_string(),
        Tree::Text(text) => format!("'{text}'"),
        Tree::List(list) => format!("[{}]", list.iter().map(written).collect::<Vec<_>>().join(", ")),
        Tree::Map(map) => {
            let fields = map.iter().map(|(name, value)| format!("{name} = {}", written(value)));
            format!("{{ {} }}", fields.collect::<Vec<_>>().join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn branches_are_told_under_their_stage_and_nothing_else_is_taken_for_one() {
        let tree = Tree::parse(
            r#"
            [[stage]]
            else = { to = "low" }
            where = 'metric > 1'
            [[stage]]
            project = [{ tagged = 'x' }, { expired = true }]
            [[stage]]
            else = [{ to = "rest" }]
            split = [{ where = 'true', then = { to = "all" } }]
            [[stage]]
            each = [{ emit = true }, [{ next = true }]]
            "#,
        )
        .unwrap();
        Plan::of(&tree).unwrap();
        let Tree::Map(map) = &tree else { panic!() };
        let mut lines = Vec::new();
        tell(&map[0].1, 0, &mut lines);
        let told: String = lines.iter().map(|(written, _)| format!("{written}\n")).collect();
        expect![[r#"
              where = 'metric > 1'
                else:
                  to = 'low'
              project = [{ tagged = 'x' }, { expired = true }]
              split
                else:
                  to = 'rest'
                where 'true':
                  to = 'all'
              each
                branch 1:
                  emit = true
                branch 2:
                  next = true
        "#]]
        .assert_eq(&told);
    }
}
