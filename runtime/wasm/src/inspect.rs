//! Does this module keep the contract? Reads the bytes, runs none of them, and says why not in words that help.
//!
//! Two passes: the first looks for what an author is likely to have done (a module for WASI, a component, an import that
//! a dependency brought along), so that the answer names the cause; the second is the full validation, under the very
//! feature set that the compiler gets. Only what passed both is compiled.
//!
//! Not here: whether a rule's settings fit its manifest (`tidegate_engine::manifest`), and whether its code behaves,
//! which only running it can tell.

mod survey;

use crate::engine::{FEATURES, MEMORY_MAX};
use std::fmt;
use survey::Survey;
use tidegate_engine::manifest::Manifest;
use tidegate_engine::rule::Limits;
use tidegate_event::abi;
use wasmparser::types::{EntityType, TypesRef};
use wasmparser::{ValType, Validator};

/// The largest module, in bytes.
pub const MODULE_MAX: usize = 4 << 20;
/// The most functions of a module.
pub const FUNCTIONS_MAX: u32 = 10_000;
/// The most local variables of a function.
pub const LOCALS_MAX: u32 = 5_000;
/// The largest table, in entries.
pub const TABLE_MAX: u64 = 10_000;
/// The largest manifest, in bytes.
pub const MANIFEST_MAX: usize = 64 << 10;

/// How many things of a kind a refusal names.
const NAMED: usize = 5;

/// What a module says and needs, read without running it.
#[derive(Clone, Debug, PartialEq)]
pub struct Inspected {
    /// What it says of itself.
    pub manifest: Manifest,
    /// Its name: BLAKE3 of its bytes, in hex.
    pub digest: String,
    /// Its size in bytes.
    pub size: usize,
    /// How many functions it has.
    pub functions: u32,
    /// The memory it starts with, in bytes.
    pub memory: u64,
    /// The most memory that it will ever ask for, in bytes, if it says.
    pub memory_max: Option<u64>,
    /// Whether its functions have names; without them a fault cannot say where it happened.
    pub names: bool,
}

impl Inspected {
    /// Whether the module can start within these limits.
    pub fn fits(&self, limits: &Limits) -> Result<(), Refusal> {
        let limit = limits.memory.min(MEMORY_MAX);
        if self.memory > limit {
            return Err(Refusal::Memory { asked: self.memory, limit });
        }
        Ok(())
    }
}

/// Why a module was not accepted. Nearly all are the author's to mend; [`is_ours`](Self::is_ours) tells those that are
/// worth another try.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum Refusal {
    /// Larger than a module may be.
    #[error(
        "the module has {} KiB, rules may have {} KiB: build with the `rule` profile (`tidegate build`), which optimises \
         and leaves out debug information", size.div_ceil(1024), MODULE_MAX / 1024
    )]
    Size { size: usize },
    /// Something else altogether.
    #[error("this is not a wasm module: {found}; deploy the .wasm file that `tidegate build` writes")]
    NotWasm { found: String },
    /// Machine code. Loading a stranger's would be running it unchecked.
    #[error(
        "this is machine code ({found}), which cannot be checked and is never loaded: deploy the .wasm file that it was \
         made from"
    )]
    MachineCode { found: &'static str },
    /// A component where a core module was expected.
    #[error(
        "this is a wasm component, rules are core modules: build for wasm32-unknown-unknown (not wasm32-wasip2) and do \
         not wrap the result with wasm-tools or cargo-component"
    )]
    Component,
    /// It ends early, or a section is damaged.
    #[error("the module is damaged: {reason}")]
    Damaged { reason: String },
    /// It does not validate.
    #[error(
        "the module is not valid here: {reason}; rules are built for wasm32-unknown-unknown with its usual target \
         features"
    )]
    Invalid { reason: String },
    /// It wants something from outside.
    #[error("the module imports {}, but rules import nothing: {}", list(imports), advice(imports))]
    Imports { imports: Vec<(String, String)> },
    /// It wants to run at once.
    #[error(
        "the module has a start function, which would run before the host could bound it: build a library \
         (`crate-type = [\"cdylib\"]`), not a program"
    )]
    Start,
    /// The memory is of a kind that rules cannot have.
    #[error("the module has {found}, rules have one plain 32-bit memory: {advice}")]
    MemoryKind { found: &'static str, advice: &'static str },
    /// It starts with more memory than it may have.
    #[error(
        "the module starts with {} KiB of memory, the rule may have {} KiB: make its static data and stack smaller \
         (`-C link-arg=-zstack-size=…`), or raise the rule's memory limit where that is the smaller one",
        asked.div_ceil(1024), limit / 1024
    )]
    Memory { asked: u64, limit: u64 },
    /// Too many or too large tables.
    #[error("the module has {found}, rules may have one table of {TABLE_MAX} entries")]
    Tables { found: String },
    /// Too many functions.
    #[error("the module has {count} functions, rules may have {FUNCTIONS_MAX}: use fewer dependencies")]
    Functions { count: u32 },
    /// A function with too many variables: those are slow to compile without end.
    #[error(
        "function {function} has {count} local variables, functions of rules may have {LOCALS_MAX}: split it"
    )]
    Locals { function: String, count: u32 },
    /// It speaks another version of the contract.
    #[error("the module speaks {}, this host speaks {}: rebuild it with the matching SDK", found.join(" and "), abi::MARKER)]
    Version { found: Vec<String> },
    /// It is wasm, but no rule.
    #[error(
        "the module has no export `{}`, so it is no rule: it needs a type with `#[rule]` and \
         `crate-type = [\"cdylib\"]`, and must be built in the `rule` or release profile",
        abi::MARKER
    )]
    NoRule,
    /// Exports are missing or are something else.
    #[error("the module's exports are not those of a rule: {}; rebuild it with the SDK", problems.join("; "))]
    Exports { problems: Vec<String> },
    /// There is no manifest.
    #[error(
        "the module has no `{}` section: it was stripped; strip with `wasm-opt` or `wasm-tools strip` in a way that keeps \
         custom sections of that name, or not at all",
        abi::MANIFEST_SECTION
    )]
    NoManifest,
    /// There is a manifest, but it cannot be used.
    #[error("{reason}")]
    Manifest { reason: String },
    /// The compiler did not take it.
    #[error("the module does not compile: {reason}")]
    Compile { reason: String },
    /// The compiler is not done yet.
    #[error(
        "the module did not compile within {millis} ms; it goes on in the background: try again, and if that does not \
         help, make the module smaller"
    )]
    Slow { millis: u128 },
    /// There is no process to compile it in.
    #[error("no process to compile the module in could be started ({reason}): try again in a while")]
    NoProcess { reason: String },
    /// The compiler is busy with other modules.
    #[error("{running} modules are being compiled and {waiting} wait already: try again in a while")]
    Busy { running: usize, waiting: usize },
}

impl Refusal {
    /// Whether trying the same module again can help.
    pub fn is_ours(&self) -> bool {
        matches!(self, Self::Slow { .. } | Self::Busy { .. } | Self::NoProcess { .. })
    }
}

/// A module's name: BLAKE3 of its bytes, in hex.
pub fn digest(wasm: &[u8]) -> String {
    blake3::hash(wasm).to_hex().to_string()
}

/// Reads a module and checks all that can be checked without running it.
pub fn inspect(wasm: &[u8]) -> Result<Inspected, Refusal> {
    if wasm.len() > MODULE_MAX {
        return Err(Refusal::Size { size: wasm.len() });
    }
    check_header(wasm)?;
    let survey = Survey::of(wasm)?;
    let valid = Validator::new_with_features(FEATURES)
        .validate_all(wasm)
        .map_err(|error| Refusal::Invalid { reason: error.to_string() })?;
    check_exports(valid.as_ref())?;
    let manifest = match survey.manifest[..] {
        [] => return Err(Refusal::NoManifest),
        [json] => read_manifest(json)?,
        ref several => {
            let reason =
                format!("the module has {} manifests: it may have one `#[rule]` only", several.len());
            return Err(Refusal::Manifest { reason });
        }
    };
    let memory = valid.as_ref().memory_at(0);
    Ok(Inspected {
        manifest,
        digest: digest(wasm),
        size: wasm.len(),
        functions: survey.functions,
        memory: memory.initial * survey::PAGE,
        memory_max: memory.maximum.map(|pages| pages * survey::PAGE),
        names: survey.names,
    })
}

fn check_header(wasm: &[u8]) -> Result<(), Refusal> {
    if let Some(kind) = wasmtime::Engine::detect_precompiled(wasm) {
        let found = match kind {
            wasmtime::Precompiled::Module => "a module precompiled by wasmtime",
            wasmtime::Precompiled::Component => "a component precompiled by wasmtime",
        };
        return Err(Refusal::MachineCode { found });
    }
    let found = match wasm {
        [b'\x7f', b'E', b'L', b'F', ..] => return Err(Refusal::MachineCode { found: "an ELF file" }),
        [b'\0', b'a', b's', b'm', 1, 0, 0, 0, ..] => return Ok(()),
        [b'\0', b'a', b's', b'm', _, _, 1, 0, ..] => return Err(Refusal::Component),
        [b'\0', b'a', b's', b'm', ..] => "wasm of a version that nobody speaks yet".to_owned(),
        [] => "the file is empty".to_owned(),
        [b'!', b'<', b'a', b'r', ..] => {
            "an archive, as `crate-type = [\"rlib\"]` or `[\"staticlib\"]` make; set `[\"cdylib\"]`"
                .to_owned()
        }
        [b'(', ..] => "wasm as text; turn it into bytes with `wasm-tools parse`".to_owned(),
        other => format!("it starts with {:02x?}", &other[..other.len().min(4)]),
    };
    Err(Refusal::NotWasm { found })
}

/// The functions that a rule exports: their names, parameters and results, all `i32`.
const SIGNATURES: [(&str, usize, usize); 9] = [
    (abi::REGION, 1, 1),
    (abi::REPLY, 0, 1),
    (abi::BIND, 2, 1),
    (abi::UNBIND, 1, 0),
    (abi::BATCH, 1, 1),
    (abi::MARK, 1, 1),
    (abi::SAVE, 1, 1),
    (abi::PICK, 1, 1),
    (abi::RESTORE, 2, 1),
];

fn check_exports(types: TypesRef<'_>) -> Result<(), Refusal> {
    let exports: Vec<(&str, EntityType)> = types.core_exports().into_iter().flatten().collect();
    let find = |name: &str| exports.iter().find(|(found, _)| *found == name).map(|(_, entity)| *entity);
    if find(abi::MARKER).is_none() {
        let other: Vec<String> = exports
            .iter()
            .filter(|(name, _)| name.strip_prefix("tg_abi_").is_some_and(|n| n.parse::<u32>().is_ok()))
            .map(|(name, _)| (*name).to_owned())
            .take(NAMED)
            .collect();
        return Err(if other.is_empty() { Refusal::NoRule } else { Refusal::Version { found: other } });
    }
    let mut problems = Vec::new();
    match find("memory") {
        Some(EntityType::Memory(_)) => {}
        Some(other) => problems.push(format!("`memory` is a {}", kind(other))),
        None => problems.push("`memory` is missing".to_owned()),
    }
    for (name, params, results) in SIGNATURES {
        let wanted = Signature { params: &vec![ValType::I32; params], results: &vec![ValType::I32; results] };
        match find(name) {
            Some(EntityType::Func(id)) => {
                let found = types[id].unwrap_func();
                let found = Signature { params: found.params(), results: found.results() };
                if found != wanted {
                    problems.push(format!("`{name}` should be {wanted}, it is {found}"));
                }
            }
            Some(other) => problems.push(format!("`{name}` is a {}", kind(other))),
            None => problems.push(format!("`{name}` is missing")),
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(Refusal::Exports { problems }) }
}

fn kind(entity: EntityType) -> &'static str {
    match entity {
        EntityType::Func(_) | EntityType::FuncExact(_) => "function",
        EntityType::Table(_) => "table",
        EntityType::Memory(_) => "memory",
        EntityType::Global(_) => "global",
        EntityType::Tag(_) => "tag",
    }
}

#[derive(PartialEq)]
struct Signature<'a> {
    params: &'a [ValType],
    results: &'a [ValType],
}

impl fmt::Display for Signature<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |types: &[ValType]| types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        write!(f, "({}) -> ({})", list(self.params), list(self.results))
    }
}

fn read_manifest(json: &[u8]) -> Result<Manifest, Refusal> {
    if json.len() > MANIFEST_MAX {
        let reason = format!("the manifest has {} bytes, it may have {MANIFEST_MAX}", json.len());
        return Err(Refusal::Manifest { reason });
    }
    Manifest::from_json(json).map_err(|mut reason| {
        // The linker joins sections of one name: two rules in one module make two documents in one section.
        if reason.contains("trailing characters") {
            reason.push_str(" (a module may have one `#[rule]` only)");
        }
        Refusal::Manifest { reason }
    })
}

fn list(imports: &[(String, String)]) -> String {
    let mut text: Vec<String> =
        imports.iter().take(NAMED).map(|(module, name)| format!("`{module}.{name}`")).collect();
    if imports.len() > NAMED {
        text.push(format!("{} more", imports.len() - NAMED));
    }
    text.join(", ")
}

/// What usually brings such an import along. The first that we know decides.
fn advice(imports: &[(String, String)]) -> &'static str {
    let known = imports.iter().find_map(|(module, name)| match (module.as_str(), name.as_str()) {
        (module, _) if module.starts_with("wasi") => {
            Some("this is a WASI module; build it for wasm32-unknown-unknown")
        }
        (module, _) if module.starts_with("__wbindgen") || module == "wbg" => Some(
            "a dependency expects a browser; find it with `cargo tree -i wasm-bindgen --target wasm32-unknown-unknown` \
             and turn off the feature that brings it (often `js` or `wasmbind`)",
        ),
        (_, "memory") => Some("the memory is imported; build without `--import-memory`"),
        (_, "__indirect_function_table") => Some("the table is imported; build without `--import-table`"),
        (_, "emscripten_notify_memory_growth") => {
            Some("this is an Emscripten module; build it for wasm32-unknown-unknown")
        }
        ("env", _) => {
            Some("this is an `extern` function that nothing defines, often from C code or a dependency for one platform")
        }
        _ => None,
    });
    known.unwrap_or(
        "events, settings and time arrive with the batch, and what a rule wants done leaves with its reply",
    )
}

#[cfg(test)]
mod tests;
