//! A folder of a test's own, with the program in it, and nodes that end with the test.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use tempfile::TempDir;

/// The program.
pub const TIDEGATE: &str = env!("CARGO_BIN_EXE_tidegate");

/// A node is ready by then, on a machine that is busy with other tests.
const READY: Duration = Duration::from_secs(60);

/// Every port a free one, and no machine to watch.
const CONFIG: &str = "\
http.address = \"127.0.0.1:0\"
websocket.address = \"127.0.0.1:0\"
[inputs.riemann]
type = \"riemann\"
tcp = \"127.0.0.1:0\"
";

/// What a command did.
#[derive(Debug)]
pub struct Outcome {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Outcome {
    /// Its output, if it ended well.
    #[track_caller]
    pub fn fine(self) -> String {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self.out
    }

    /// What it said, if it ended with this code.
    #[track_caller]
    pub fn fails(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self.err
    }
}

/// A folder of a test's own.
pub struct Scratch {
    folder: TempDir,
    home: PathBuf,
    variables: Vec<(&'static str, String)>,
}

impl Scratch {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        Self { home: folder.path().join("home"), folder, variables: Vec::new() }
    }

    /// One that shares the SDK and what was compiled with other tests and other runs.
    pub fn that_builds() -> Self {
        let shared = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cli");
        let mut scratch = Self { home: shared.join("home"), ..Self::new() };
        scratch.set("CARGO_TARGET_DIR", shared.join("target").display().to_string());
        scratch
    }

    /// Sets a variable for all commands.
    pub fn set(&mut self, name: &'static str, value: String) {
        self.variables.push((name, value));
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), text).expect("a file can be written");
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// A command of the program, not run yet.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TIDEGATE") || name == "UPDATE_EXPECT" {
                command.env_remove(name);
            }
        }
        // The variables of the `cargo test` that runs this test are no concern of the cargo that is run below it.
        command
            .env_remove("CARGO_TARGET_DIR")
            .env("TIDEGATE_HOME", &self.home)
            .current_dir(self.folder.path());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    pub fn run<'a>(&self, arguments: impl AsRef<[&'a str]>) -> Outcome {
        outcome(self.command(TIDEGATE).args(arguments.as_ref()).stdin(Stdio::null()).output())
    }

    /// The same with text on standard input.
    pub fn feed<const N: usize>(&self, arguments: [&str; N], text: &str) -> Outcome {
        let mut command = self.command(TIDEGATE);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program can be started");
        // It may end without having read all.
        let _ = child.stdin.take().expect("it has an input").write_all(text.as_bytes());
        outcome(child.wait_with_output())
    }

    /// A line for a shell; both outputs as one.
    pub fn shell(&self, line: &str) -> Outcome {
        let folder = Path::new(TIDEGATE).parent().expect("the program lies in a folder");
        let path = std::env::var("PATH").unwrap_or_default();
        let mut shell = self.command("sh");
        shell.args(["-c", &format!("exec 2>&1; {line}")]).env("PATH", format!("{}:{path}", folder.display()));
        outcome(shell.stdin(Stdio::null()).output())
    }

    /// Starts a node on free ports, and leads further commands to it.
    pub fn node(&mut self, arguments: &[&str]) -> Node {
        self.write("node.toml", CONFIG);
        let mut command = self.command(TIDEGATE);
        command.args(["run", "--config", "node.toml"]).args(arguments);
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it can be started");
        let (said, lines) = mpsc::channel();
        let out = BufReader::new(child.stdout.take().expect("it has an output"));
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| said.send(line)));
        let mut node = Node { child, lines: Vec::new() };
        while node.lines.last().is_none_or(|line| line != "ready") {
            match lines.recv_timeout(READY) {
                Ok(line) => node.lines.push(line),
                Err(error) => panic!("the node is not ready ({error}): {:?}", node.end()),
            }
        }
        self.set("TIDEGATE_SERVER", node.address("page "));
        self.set("TIDEGATE_RIEMANN", node.address("riemann tcp "));
        node
    }
}

/// What a command did that has ended.
pub fn outcome(output: std::io::Result<Output>) -> Outcome {
    let Output { status, stdout, stderr } = output.expect("the program can be run");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("what is said is UTF-8");
    Outcome { code: status.code(), out: text(stdout), err: text(stderr) }
}

/// A node.
pub struct Node {
    child: Child,
    /// What it has said on standard output.
    pub lines: Vec<String>,
}

impl Node {
    /// What stands behind these words.
    pub fn address(&self, words: &str) -> String {
        let found = self.lines.iter().find_map(|line| line.strip_prefix(words));
        found.unwrap_or_else(|| panic!("{words:?} is not among {:?}", self.lines)).to_owned()
    }

    /// Sends a signal.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "the node takes {name}");
    }

    /// Asks it to stop, and tells how it did.
    pub fn stop(self) -> Outcome {
        self.signal("-TERM");
        self.end()
    }

    /// Tells how it ended, once asked.
    pub fn ended(self) -> Outcome {
        self.end()
    }

    fn end(mut self) -> Outcome {
        let err = self.child.stderr.take().map(std::io::read_to_string);
        let status = self.child.wait().expect("it ends");
        Outcome { code: status.code(), out: String::new(), err: err.and_then(Result::ok).unwrap_or_default() }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
