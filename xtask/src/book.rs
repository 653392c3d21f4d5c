//! Runs what the pages tell their readers to type, and compares what comes out with what the pages show.
//!
//! A listing that begins with three backticks and `console` is a session: lines that begin with `$ ` are typed (a `\` at
//! the end goes on in the next line), the lines below are what comes out. `[..]` stands for anything within a line, and a
//! line of `...` for any lines. Where nothing is shown, anything may come out.
//!
//! The listings of a page are one session, in an empty folder, with a server of its own: `TIDEGATE_SERVER` and
//! `TIDEGATE_RIEMANN` lead to it, so the page can be read as if everything had its usual port. A listing whose first line
//! says `file=NAME` is written to that file. A listing after a comment `<!-- not run: REASON -->` is left out, and told.

use crate::program::Workspace;
use crate::server::Server;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The pages, by their paths in the repository.
const PAGES: &[&str] =
    &["README.md", "docs/README.md", "docs/start.md", "docs/performance.md", "docs/rules/without-rust.md"];

/// The configuration of the pages' servers: every port is a free one.
const SETTINGS: &str = "\
[http]
address = \"127.0.0.1:0\"
[websocket]
address = \"127.0.0.1:0\"
[inputs.riemann]
type = \"riemann\"
tcp = \"127.0.0.1:0\"
udp = \"127.0.0.1:0\"
[inputs.this-machine]
type = \"host\"
every = \"1s\"
";

/// Something that a page's reader does.
#[derive(Debug, PartialEq, Eq)]
enum Act {
    /// Types this and sees that.
    Type { line: usize, command: String, shown: Vec<String> },
    /// Writes this file.
    Write { file: String, text: String },
    /// Does not do this here.
    Leave { line: usize, reason: String },
}

pub fn run(tidegate: &Path, workspace: &Workspace) -> Result<()> {
    let root = crate::program::root();
    for page in PAGES {
        let text =
            std::fs::read_to_string(root.join(page)).with_context(|| format!("{page} cannot be read"))?;
        let acts = read(&text).with_context(|| (*page).to_owned())?;
        let folder = crate::demo::fresh(workspace, &format!("book/{}", page.replace('/', "_")))?;
        std::fs::create_dir_all(&folder)?;
        let config = folder.join("server.toml");
        std::fs::write(&config, SETTINGS)?;
        let server = Server::start(tidegate, &config, &folder.join("data"))?;
        let session = Session::new(&folder, tidegate, &server)?;
        let (mut typed, mut left) = (0, 0);
        for act in &acts {
            match act {
                Act::Type { line, command, shown } => {
                    println!("{page}:{line}: $ {command}");
                    let type_in =
                        || session.type_in(command).with_context(|| format!("{page}:{line}: `{command}`"));
                    let mut said = type_in()?;
                    // A reader is slower than we are: what a rule emits may not be there yet.
                    for _ in 0..20 {
                        if !command.starts_with("tidegate query") || shows(shown, &said) {
                            break;
                        }
                        std::thread::sleep(Duration::from_millis(100));
                        said = type_in()?;
                    }
                    if !shows(shown, &said) {
                        bail!(
                            "{page}:{line}: `{command}`\n  shows\n{}\n  but the page says\n{}",
                            indent(&said),
                            indent(&shown.join("\n"))
                        );
                    }
                    typed += 1;
                }
                Act::Write { file, text } => {
                    let file = session.place()?.join(file);
                    std::fs::create_dir_all(file.parent().unwrap_or(&folder))?;
                    std::fs::write(&file, text)
                        .with_context(|| format!("{} cannot be written", file.display()))?;
                }
                Act::Leave { line, reason } => {
                    println!("{page}:{line}: not run: {reason}");
                    left += 1;
                }
            }
        }
        server.stop()?;
        println!("{page}: {typed} commands as the page says, {left} listings not run");
    }
    Ok(())
}

/// The listings of a page, in order.
fn read(page: &str) -> Result<Vec<Act>> {
    let mut acts = Vec::new();
    let mut not_run = None;
    let mut lines = page.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        if let Some(reason) =
            line.trim().strip_prefix("<!-- not run:").and_then(|rest| rest.strip_suffix("-->"))
        {
            not_run = Some(reason.trim().to_owned());
            continue;
        }
        let Some(info) = line.strip_prefix("```") else {
            if !line.trim().is_empty() {
                not_run = None;
            }
            continue;
        };
        let mut listing = Vec::new();
        loop {
            match lines.next() {
                Some((_, "```")) => break,
                Some((number, line)) => listing.push((number + 1, line)),
                None => bail!("line {}: the listing does not end", number + 1),
            }
        }
        let file = info.split_whitespace().find_map(|word| word.strip_prefix("file="));
        match (not_run.take(), file) {
            (Some(reason), _) => acts.push(Act::Leave { line: number + 1, reason }),
            (None, Some(file)) => {
                let text = listing.iter().map(|(_, line)| format!("{line}\n")).collect();
                acts.push(Act::Write { file: file.to_owned(), text });
            }
            (None, None) if info.trim() == "console" => session(&listing, &mut acts)?,
            (None, None) => {}
        }
    }
    Ok(acts)
}

fn session(listing: &[(usize, &str)], acts: &mut Vec<Act>) -> Result<()> {
    let first = acts.len();
    let mut going_on = false;
    for (number, text) in listing {
        if going_on {
            if let Some(Act::Type { command, .. }) = acts.last_mut() {
                command.push('\n');
                command.push_str(text);
            }
            going_on = text.ends_with('\\');
        } else if let Some(command) = text.strip_prefix("$ ") {
            acts.push(Act::Type { line: *number, command: command.to_owned(), shown: Vec::new() });
            going_on = command.ends_with('\\');
        } else if acts.len() == first {
            bail!("line {number}: a session begins with `$ ` and what is typed");
        } else if let Some(Act::Type { shown, .. }) = acts.last_mut() {
            shown.push((*text).to_owned());
        }
    }
    Ok(())
}

/// Whether what was said is what the page shows, if it shows anything.
fn shows(shown: &[String], said: &str) -> bool {
    shown.is_empty() || agrees(shown, &said.lines().collect::<Vec<_>>())
}

/// Whether these lines are those lines.
fn agrees(shown: &[String], said: &[&str]) -> bool {
    match (shown.split_first(), said.split_first()) {
        (None, None) => true,
        (Some((dots, rest)), _) if dots == "..." => {
            agrees(rest, said) || said.split_first().is_some_and(|(_, said)| agrees(shown, said))
        }
        (Some((line, rest)), Some((first, said))) => {
            line_agrees(line.trim_end(), first.trim_end()) && agrees(rest, said)
        }
        _ => false,
    }
}

fn line_agrees(shown: &str, said: &str) -> bool {
    match shown.split_once("[..]") {
        None => shown == said,
        Some((before, after)) => said.strip_prefix(before).is_some_and(|rest| {
            let mut starts = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
            starts.any(|at| line_agrees(after, &rest[at..]))
        }),
    }
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

/// A shell that remembers its folder.
struct Session {
    place: PathBuf,
    home: PathBuf,
    path: std::ffi::OsString,
    page: String,
    riemann: String,
}

impl Session {
    fn new(folder: &Path, tidegate: &Path, server: &Server) -> Result<Self> {
        let mut path = tidegate.parent().unwrap_or(folder).as_os_str().to_owned();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let place = folder.join(".place");
        std::fs::write(&place, folder.as_os_str().as_encoded_bytes())?;
        Ok(Self {
            place,
            home: folder.to_owned(),
            path,
            page: server.page()?.to_owned(),
            riemann: server.listener("riemann tcp")?.to_owned(),
        })
    }

    /// The folder that it is in.
    fn place(&self) -> Result<PathBuf> {
        Ok(PathBuf::from(std::fs::read_to_string(&self.place)?.trim_end()))
    }

    /// Runs a command; what it says on both outputs, in the order of saying.
    fn type_in(&self, command: &str) -> Result<String> {
        let script = format!("exec 2>&1\n{command}\nstatus=$?\npwd > \"$PLACE\"\nexit $status");
        let output = Command::new("sh")
            .args(["-c", &script])
            .current_dir(self.place()?)
            .env("PLACE", &self.place)
            .env("PATH", &self.path)
            .env("TIDEGATE_SERVER", &self.page)
            .env("TIDEGATE_RIEMANN", &self.riemann)
            .env("TIDEGATE_HOME", self.home.join(".tidegate"))
            .env("NO_COLOR", "1")
            .env("REPOSITORY", crate::program::root())
            .output()
            .context("sh cannot be started")?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            bail!("{}\n{}", output.status, indent(&said));
        }
        Ok(said.replace(&*self.home.to_string_lossy(), "~"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_files_and_what_is_left_out_are_told_apart() {
        let page = "Text.\n\n```console\n$ one\nout\n$ two \\\n  more\n```\n```rust file=src/lib.rs\nfn x() {}\n```\n\
                    <!-- not run: slow -->\n```console\n$ three\n```\n```toml\n[x]\n```\n";
        let typed = |line, command: &str, shown: &[&str]| Act::Type {
            line,
            command: command.into(),
            shown: shown.iter().map(|line| (*line).to_owned()).collect(),
        };
        assert_eq!(
            read(page).unwrap(),
            [
                typed(4, "one", &["out"]),
                typed(6, "two \\\n  more", &[]),
                Act::Write { file: "src/lib.rs".into(), text: "fn x() {}\n".into() },
                Act::Leave { line: 13, reason: "slow".into() },
            ]
        );
    }

    #[test]
    fn a_broken_page_is_an_error() {
        assert!(read("```console\n$ x\n").is_err());
        assert!(read("```console\nout\n```\n").is_err());
    }

    #[test]
    fn gaps_stand_for_anything_and_nothing_else_does() {
        let agrees = |shown: &str, said: &str| {
            let shown: Vec<String> = shown.lines().map(str::to_owned).collect();
            super::agrees(&shown, &said.lines().collect::<Vec<_>>())
        };
        assert!(agrees("a [..] c\n...\nz", "a b c\n1\n2\nz"));
        assert!(agrees("...\nz", "z"));
        assert!(agrees("x[..]", "x"));
        assert!(!agrees("a [..] c", "a b d"));
        assert!(!agrees("a", "a\nb"));
        assert!(!agrees("a\nb", "a"));
    }
}
