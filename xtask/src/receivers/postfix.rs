//! Postfix, the mail server of many machines: what it has taken stands in its queue, and is delivered into a maildir that
//! is read.

use super::course::Load;
use super::daemon::{Daemon, listens, ports, write};
use super::{Arrived, Kind, Loss, ROOT, Receiver, Repeats, mail};
use crate::program::{self, find};
use anyhow::{Context, Result};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;

/// As the other mail server. Its parts run as different users, so root must start it.
pub const MAIL: Kind =
    Kind { name: "postfix", needs: &["postfix", ROOT], loss: Loss::Nothing, repeats: Repeats::Batches, make };

/// What it is made of: no more than takes mail, keeps it and delivers it.
const PARTS: &str = "\
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
postlog unix-dgram n - n - 1 postlogd
";

struct Postfix {
    daemon: Daemon,
    port: u16,
    mails: PathBuf,
}

fn make(folder: &Path, _: &Path) -> Result<Box<dyn Receiver>> {
    let [port] = ports()?;
    let (config, queue) = (folder.join("postfix"), folder.join("queue"));
    let (user, group) = owner()?;
    // Paths in the queue's folder are relative where they can be, and go through `/proc` where they must not be: the parts that
    // are not root stand in that folder, but may be unable to get there, as when it is below /root.
    let settings = format!(
        "compatibility_level = 3.6\nqueue_directory = {queue}\ndata_directory = data\n\
         maillog_file = {folder}/mail.log\nmaillog_file_prefixes = {folder}\n\
         inet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nmyhostname = receiver.example.com\nmydestination =\n\
         mynetworks = 127.0.0.0/8\nalias_maps =\nalias_database =\nlocal_recipient_maps =\n\
         virtual_mailbox_base = /proc/self/cwd/mail\nvirtual_mailbox_domains = example.com\n\
         virtual_mailbox_maps = static:all/\nvirtual_uid_maps = static:{user}\nvirtual_gid_maps = static:{group}\n\
         enable_long_queue_ids = yes\n\
         queue_run_delay = 1s\nminimal_backoff_time = 1s\nmaximal_backoff_time = 1s\ntransport_retry_time = 1s\n",
        queue = queue.display(),
        folder = folder.display(),
    );
    write(&config, "main.cf", &settings)?;
    write(&config, "master.cf", &format!("127.0.0.1:{port} inet n - n - - smtpd\n{PARTS}"))?;
    for name in ["data", "mail"] {
        std::fs::create_dir_all(queue.join(name))?;
        chown(queue.join(name), Some(user), Some(group))?;
    }
    let config = config.display().to_string();
    // It makes the other folders.
    let mut check = Command::new(find("postfix").context("postfix")?);
    check.args(["-c", &config, "check"]);
    program::output(check)?;
    let mut ask = Command::new(find("postconf").context("postconf")?);
    ask.args(["-c", &config, "-h", "daemon_directory"]);
    let program = PathBuf::from(program::output(ask)?.trim_end()).join("master");
    // `-d` keeps all of it in one group.
    let daemon = Daemon::new(program, ["-c", &config, "-d"], folder.join("postfix.log"))
        .with_family()
        .ready_when(move || listens(port));
    Ok(Box::new(Postfix { daemon, port, mails: queue.join("mail/all/new") }))
}

/// The user that its package has made, and its group.
fn owner() -> Result<(u32, u32)> {
    let users = std::fs::read_to_string("/etc/passwd").context("/etc/passwd")?;
    let line =
        users.lines().find_map(|line| line.strip_prefix("postfix:")).context("no user is called postfix")?;
    let mut numbers = line.split(':').skip(1).map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(user)), Some(Ok(group))) => Ok((user, group)),
        _ => anyhow::bail!("the user postfix is {line:?}"),
    }
}

impl Receiver for Postfix {
    fn output(&self) -> String {
        mail::output(self.port)
    }

    fn daemon(&mut self) -> &mut Daemon {
        &mut self.daemon
    }

    fn read(&mut self, load: &Load) -> Result<Arrived> {
        let mut mails = Vec::new();
        // The folder is made with the first mail.
        for file in std::fs::read_dir(&self.mails).into_iter().flatten() {
            let text = std::fs::read_to_string(file?.path())?;
            // What it took before a kill it delivers in any order. The name of a mail in the queue begins with the time.
            let (_, name) =
                text.split_once(" (Postfix) with ESMTP id ").context("a mail that it has not taken")?;
            let name = name.split_whitespace().next().unwrap_or_default().to_owned();
            mails.push((name, text));
        }
        mails.sort_unstable();
        let mut arrived = vec![Vec::new(); load.streams];
        mails.iter().flat_map(|(_, text)| text.lines()).for_each(|line| mail::note(line, &mut arrived));
        Ok(arrived)
    }
}
