//! A mail server (aiosmtpd), which keeps each mail on disk before it says that it has it.

use super::course::Load;
use super::daemon::{Daemon, PYTHON, listens, ports, write};
use super::{Arrived, Kind, Loss, Receiver, Repeats};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// What waits becomes one mail; one whose answer was lost comes again.
pub const MAIL: Kind = Kind {
    name: "mail",
    needs: &["python3", "aiosmtpd"],
    loss: Loss::Nothing,
    repeats: Repeats::Batches,
    make,
};

/// The server: a line of each mail that begins with `load` is what an event said.
const SERVER: &str = r#"import email, email.policy, os, sys, threading
from aiosmtpd.controller import Controller
kept = open(sys.argv[2], "ab")
class Handler:
    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        lines = [line for line in mail.get_content().splitlines() if line.startswith("load ")]
        kept.write("".join(line + "\n" for line in lines).encode())
        kept.flush()
        os.fsync(kept.fileno())
        return "250 OK"
Controller(Handler(), hostname="127.0.0.1", port=int(sys.argv[1])).start()
threading.Event().wait()
"#;

struct Mail {
    daemon: Daemon,
    port: u16,
    kept: PathBuf,
}

fn make(folder: &Path, _: &Path) -> Result<Box<dyn Receiver>> {
    let [port] = ports()?;
    let script = write(folder, "server.py", SERVER)?;
    let kept = folder.join("mails");
    let words = [script, port.to_string(), kept.display().to_string()];
    let daemon = Daemon::new(PYTHON, words, folder.join("server.log")).ready_when(move || listens(port));
    Ok(Box::new(Mail { daemon, port, kept }))
}

impl Receiver for Mail {
    fn output(&self) -> String {
        output(self.port)
    }

    fn daemon(&mut self) -> &mut Daemon {
        &mut self.daemon
    }

    fn read(&mut self, load: &Load) -> Result<Arrived> {
        let mut arrived = vec![Vec::new(); load.streams];
        let text = std::fs::read_to_string(&self.kept).context("the mails")?;
        // What a kill cut off was not answered, so it came again.
        let whole = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        whole.for_each(|line| note(line, &mut arrived));
        Ok(arrived)
    }
}

/// The output, for a mail server at this port: of each event a line such as `load h3 17`.
pub fn output(port: u16) -> String {
    format!(
        "type = \"mail\"\naddress = \"127.0.0.1:{port}\"\nsecurity = \"none\"\nfrom = \"node@example.com\"\n\
         to = [\"oncall@example.com\"]\ntext = \"load {{{{ host }}}} {{{{ metric }}}}\\n\"\n"
    )
}

/// Notes the event that a line of a mail tells of, if it is such a line.
pub fn note(line: &str, arrived: &mut Arrived) {
    let mut words = line.split(' ');
    let (Some("load"), Some(host), Some(number)) = (words.next(), words.next(), words.next()) else { return };
    let (Some(stream), Ok(number)) = (host.strip_prefix('h'), number.parse()) else { return };
    if let Some(numbers) = stream.parse::<usize>().ok().and_then(|stream| arrived.get_mut(stream)) {
        numbers.push(number);
    }
}
