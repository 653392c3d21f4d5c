//! Compiling in a process of its own, so that a module on which the compiler works for ever, or for which it wants all
//! memory, hurts nobody: that process dies of its limits, and the deployment is refused.
//!
//! The parent writes a key, the settings and the module to the child's standard input; the child answers on its standard
//! output with machine code and its MAC under that key, as `artefact.rs` has them in files, or with a reason on its standard
//! error. It opens no files of the node, and its environment is empty.

use crate::artefact::{FILE_MAX, KEY, Seal};
use crate::engine::Engine;
use crate::inspect::{MODULE_MAX, Refusal, digest, inspect};
use rlimit::Resource;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// Processor time of a compilation, over all its threads, in seconds.
const CPU_SECS: u64 = 10;
/// Memory that a compilation may write to, in bytes.
const MEMORY: u64 = 1 << 30;
/// A child that has not answered after so long is killed, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest reason that is listened to.
const REASON_MAX: u64 = 4 << 10;
/// Guests that the child's engine could run: none is run, and their places take time to make.
const INSTANCES: u32 = 1;

/// A program that compiles when it is started like this: its `main` calls [`serve`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Apart {
    /// The program, usually the very one that is running.
    pub program: PathBuf,
    /// What to tell it.
    pub args: Vec<OsString>,
}

impl Apart {
    /// Compiles a module, and gives its machine code as well.
    pub(crate) fn compile(
        &self,
        engine: &Engine,
        digest: &str,
        wasm: &[u8],
    ) -> Result<(wasmtime::Module, Vec<u8>), Refusal> {
        let seal = Seal::fresh(engine).map_err(|error| no_process(&error.to_string()))?;
        let mut order = seal.key.to_vec();
        order.push(engine.fuel.into());
        order.extend_from_slice(wasm);
        let mut child = Command::new(&self.program)
            .args(&self.args)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| no_process(&format!("{}: {error}", self.program.display())))?;
        let said = listen(&mut child, order);
        if said.is_none() {
            // It may have ended by now, which is as good.
            let _ = child.kill();
        }
        let status = child.wait().map_err(|error| no_process(&error.to_string()))?;
        let (sealed, reason) =
            said.ok_or_else(|| refused(format!("it was not done after {} s", PATIENCE.as_secs())))?;
        if !status.success() || sealed.is_empty() {
            return Err(refused(last_words(status, &reason)));
        }
        let (module, code) = seal.open(engine, digest, &sealed).map_err(|reason| {
            refused(format!("the answer of the compiling process is not usable: {reason}"))
        })?;
        Ok((module, code.to_vec()))
    }
}

/// Tells a child what to do and takes its standard output and error; `None` when they did not come in time.
fn listen(child: &mut Child, order: Vec<u8>) -> Option<(Vec<u8>, Vec<u8>)> {
    let (mut stdin, stdout, stderr) = (child.stdin.take()?, child.stdout.take()?, child.stderr.take()?);
    let talk = move || -> io::Result<(Vec<u8>, Vec<u8>)> {
        // A child that has died does not read on; why, its last words or its status say.
        let _ = stdin.write_all(&order);
        drop(stdin);
        let (mut sealed, mut reason) = (Vec::new(), Vec::new());
        stdout.take(FILE_MAX).read_to_end(&mut sealed)?;
        stderr.take(REASON_MAX).read_to_end(&mut reason)?;
        Ok((sealed, reason))
    };
    let (send, receive) = mpsc::sync_channel(1);
    let pipe = std::thread::Builder::new().name("wasm-compile-pipe".into());
    pipe.spawn(move || {
        // Nobody may be waiting any more.
        let _ = send.send(talk());
    })
    .ok()?;
    receive.recv_timeout(PATIENCE).ok()?.ok()
}

fn no_process(reason: &str) -> Refusal {
    Refusal::NoProcess { reason: reason.to_owned() }
}

fn refused(reason: String) -> Refusal {
    Refusal::Compile { reason }
}

/// Why a child ended without an answer.
fn last_words(status: ExitStatus, reason: &[u8]) -> String {
    let reason = String::from_utf8_lossy(reason);
    let reason = reason.trim();
    if reason.contains("memory allocation") || reason.contains("Cannot allocate memory") {
        return format!("it takes more than the {} MiB of memory that it may take", MEMORY >> 20);
    }
    #[cfg(unix)]
    if let Some(9 | 24) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return format!("it takes more than the {CPU_SECS} s of processor time that it may take");
    }
    match reason.lines().next() {
        None => format!("the compiling process ended without a word ({status})"),
        Some(reason) => reason.trim_start_matches("error: ").to_owned(),
    }
}

/// The child's part, for the `main` of a program: bounds itself, reads a module from standard input, compiles it and
/// answers on standard output. The error is for standard error.
pub fn serve() -> Result<(), String> {
    bound_itself().map_err(|error| format!("the limits of the compiling process cannot be set: {error}"))?;
    answer(&mut io::stdin().lock(), &mut io::stdout().lock())
}

fn bound_itself() -> io::Result<()> {
    // One second more until the signal that cannot be caught.
    Resource::CPU.set(CPU_SECS, CPU_SECS + 1)?;
    // Not the address space: the engine reserves plenty and never touches it.
    Resource::DATA.set(MEMORY, MEMORY)?;
    Resource::CORE.set(0, 0)
}

fn answer(from: &mut impl Read, to: &mut impl Write) -> Result<(), String> {
    let mut order = Vec::new();
    let most = (KEY + 1 + MODULE_MAX) as u64;
    from.take(most + 1).read_to_end(&mut order).map_err(|error| format!("no module came: {error}"))?;
    let (key, rest) = order.split_first_chunk::<KEY>().ok_or("a module was expected on standard input")?;
    let (fuel, wasm) = rest.split_first().ok_or("a module was expected on standard input")?;
    // The parent has looked at it already; what is compiled here has been looked at here.
    inspect(wasm).map_err(|refusal| refusal.to_string())?;
    let engine = Engine::new(INSTANCES, *fuel != 0).map_err(|error| error.to_string())?;
    let code = wasmtime::Module::from_binary(&engine.wasmtime, wasm)
        .and_then(|module| module.serialize())
        .map_err(|error| format!("{error:#}"))?;
    let mac = Seal::new(*key, &engine).mac(&digest(wasm), &code);
    to.write_all(mac.as_bytes())
        .and_then(|()| to.write_all(&code))
        .and_then(|()| to.flush())
        .map_err(|error| format!("the machine code cannot be handed over: {error}"))
}
