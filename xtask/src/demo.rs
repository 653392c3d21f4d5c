//! `cargo xtask demo`: from a fresh clone to a page that moves, in one command.
//!
//! Builds the example rules and the program, runs it on this machine's real metrics and a simulated fleet whose hosts get
//! into trouble now and then, deploys the rules, and shows what they say until it is told to stop.

use crate::program::{self, Workspace};
use crate::server::Server;
use anyhow::{Context, Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// What kind of demonstration is wanted.
pub struct Wish {
    /// It ends by itself after this long; else it runs until Ctrl-C.
    pub ends_after: Option<Duration>,
    /// Where the page is to be.
    pub port: u16,
    /// Where its data is, in the repository's folder or elsewhere.
    pub data: PathBuf,
}

impl Default for Wish {
    fn default() -> Self {
        Self { ends_after: None, port: 5559, data: "tidegate-data/demo".into() }
    }
}

/// A rule of the demonstration: its package, and what is said when it is deployed.
struct Deployment {
    package: &'static str,
    arguments: &'static [&'static str],
}

const DEPLOYMENTS: &[Deployment] = &[
    Deployment {
        package: "latency_state",
        arguments: &[
            "--name",
            "slow-requests",
            "--where",
            "service =~ \"http.% latency\"",
            "--set",
            "limit_ms=250",
            "--to",
            "pager=oncall",
        ],
    },
    Deployment {
        package: "error_ratio",
        arguments: &["--name", "failing-requests", "--set", "every=5s", "--to", "pager=oncall"],
    },
    Deployment {
        package: "service_silent",
        arguments: &[
            "--name",
            "silent-hosts",
            "--where",
            "service = \"cpu\" and tagged \"fleet\"",
            "--to",
            "tell=oncall",
        ],
    },
    Deployment { package: "top_talkers", arguments: &["--name", "top-talkers", "--set", "tell=3"] },
];

/// Lines of the rules that are shown in a second at most, so that they can be read.
const LINES: u32 = 8;

/// A demonstration that runs.
pub struct Demo {
    server: Server,
    tidegate: PathBuf,
    /// Where its page is.
    pub page: String,
}

/// How many rules it has.
pub const RULES: usize = DEPLOYMENTS.len();

pub fn run(wish: &Wish) -> Result<()> {
    let workspace = Workspace::ask()?;
    println!("── the example rules, as WebAssembly");
    workspace.build_rules()?;
    println!("── the program (the first build takes some minutes)");
    let tidegate = workspace.build_program()?;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, stop.clone()).context("Ctrl-C cannot be watched")?;
    }
    let demo = Demo::start(&workspace, tidegate, wish.port, &wish.data)?;
    let shown = demo.show(wish, &stop);
    println!("── stopping");
    shown.and(demo.stop())
}

impl Demo {
    /// Starts the server with its data in this folder of the repository, and deploys the rules.
    pub fn start(workspace: &Workspace, tidegate: PathBuf, port: u16, data: &Path) -> Result<Self> {
        let folder = program::root().join(data);
        std::fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", data.display()))?;
        let config = folder.join("demo.toml");
        std::fs::write(&config, settings(port))
            .with_context(|| format!("{} cannot be written", config.display()))?;
        println!("── the server, with its data in {}", data.display());
        let server = Server::start(&tidegate, &config, &folder)?;
        let page = server.page()?.to_owned();
        for (name, address) in &server.listeners {
            println!("{name} {address}");
        }
        for deployment in DEPLOYMENTS {
            let module = workspace.module(deployment.package);
            let mut deploy = program::command(&tidegate, &["deploy"]);
            deploy.arg(module.strip_prefix(program::root()).unwrap_or(&module));
            deploy.args(deployment.arguments).args(["--server", &page]);
            program::run(deploy)?;
        }
        Ok(Self { server, tidegate, page })
    }

    /// Stops it cleanly.
    pub fn stop(self) -> Result<()> {
        self.server.stop()
    }

    /// Shows what its rules say, until it is enough.
    fn show(&self, wish: &Wish, stop: &AtomicBool) -> Result<()> {
        let program = self.tidegate.strip_prefix(program::root()).unwrap_or(&self.tidegate).display();
        let page = &self.page;
        println!("\n    the page       {page}/");
        println!("    ask the index  {program} query 'state = \"critical\"' --server {page}");
        match wish.ends_after {
            Some(span) => println!("\nWhat the rules say, for {} seconds:\n", span.as_secs()),
            None => println!("\nWhat the rules say, until Ctrl-C:\n"),
        }
        self.follow(wish, stop)?;
        println!();
        program::run(program::command(&self.tidegate, &["rules", "--server", page]))
    }

    /// Passes on what goes to the console output, as fast as it can be read.
    fn follow(&self, wish: &Wish, stop: &AtomicBool) -> Result<()> {
        let started = Instant::now();
        let (mut second, mut shown, mut held_back) = (0, 0, 0);
        while !stop.load(Relaxed) && wish.ends_after.is_none_or(|span| started.elapsed() < span) {
            let line = self.server.line(Duration::from_millis(200))?;
            if started.elapsed().as_secs() != second {
                if held_back > 0 {
                    println!("  … and {held_back} more lines in this second");
                }
                second = started.elapsed().as_secs();
                (shown, held_back) = (0, 0);
            }
            match line {
                Some(line) if shown < LINES => {
                    println!("  {line}");
                    shown += 1;
                }
                Some(_) => held_back += 1,
                None => {}
            }
        }
        Ok(())
    }
}

/// The configuration: ports as usual where they are free, all of it on this machine only.
fn settings(port: u16) -> String {
    let tcp = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let udp = |port: u16| UdpSocket::bind(("127.0.0.1", port)).is_ok();
    let pick = |what: &str, port: u16, free: bool| {
        if free {
            return port;
        }
        println!("port {port} for {what} is taken: another one is used");
        0
    };
    let riemann = pick("Riemann", 5555, tcp(5555) && udp(5555));
    let websocket = pick("Riemann's WebSocket", 5556, tcp(5556));
    let page = pick("the page", port, tcp(port));
    format!(
        "# Written by `cargo xtask demo` at each start.\n\
         [http]\n\
         address = \"127.0.0.1:{page}\"\n\n\
         [websocket]\n\
         address = \"127.0.0.1:{websocket}\"\n\n\
         [log]\n\
         keep_bytes = \"256MiB\"\n\n\
         [inputs.riemann]\n\
         type = \"riemann\"\n\
         tcp = \"127.0.0.1:{riemann}\"\n\
         udp = \"127.0.0.1:{riemann}\"\n\n\
         [inputs.this-machine]\n\
         type = \"host\"\n\
         every = \"2s\"\n\n\
         [inputs.fleet]\n\
         type = \"fleet\"\n\
         hosts = 40\n\
         services = 12\n\
         every = \"1s\"\n\
         incidents = \"20s\"\n\n\
         [outputs.oncall]\n\
         type = \"alerts\"\n\
         to = [\"screen\"]\n\
         resolve_after = \"10m\"\n\n\
         [outputs.screen]\n\
         type = \"console\"\n"
    )
}

/// Runs the demonstration for a few seconds on free ports, as a chore of `cargo xtask test`.
pub fn rehearse(workspace: &Workspace) -> Result<()> {
    let data = fresh(workspace, "demo-data")?;
    run(&Wish { ends_after: Some(Duration::from_secs(8)), port: 0, data })
}

/// An empty folder beside what is built.
pub fn fresh(workspace: &Workspace, name: &str) -> Result<PathBuf> {
    let folder = workspace.target.join(name);
    if folder.exists() {
        std::fs::remove_dir_all(&folder)
            .with_context(|| format!("{} cannot be emptied", folder.display()))?;
    }
    Ok(folder)
}

/// Every rule that is deployed is there to be built.
pub fn check(workspace: &Workspace) -> Result<()> {
    for deployment in DEPLOYMENTS {
        if !workspace.rules.iter().any(|rule| rule.package == deployment.package) {
            bail!("the demonstration deploys {}, which is not in examples-wasm", deployment.package);
        }
    }
    Ok(())
}
