//! The first pass over a module: what it is made of, before anything is known to be valid.

use super::{FUNCTIONS_MAX, LOCALS_MAX, Refusal, TABLE_MAX};
use crate::engine::MEMORY_MAX;
use tidegate_event::abi;
use wasmparser::{BinaryReaderError, MemoryType, Parser, Payload};

/// Bytes in a page of memory.
pub(super) const PAGE: u64 = 64 << 10;

/// The most imports that are looked at: a module with one is refused anyway.
const IMPORTS_SEEN: usize = 100;

/// What a module is made of.
#[derive(Default)]
pub(super) struct Survey<'a> {
    pub(super) manifest: Vec<&'a [u8]>,
    pub(super) functions: u32,
    pub(super) names: bool,
    imports: Vec<(String, String)>,
    start: bool,
    memories: Vec<MemoryType>,
    tables: Vec<u64>,
    // The first function that has too many.
    locals: Option<(u32, u32)>,
}

impl<'a> Survey<'a> {
    /// Walks over the sections of a module and refuses what rules cannot have, whether or not it is valid wasm.
    pub(super) fn of(wasm: &'a [u8]) -> Result<Self, Refusal> {
        let mut survey = Self::default();
        survey.walk(wasm).map_err(|error| Refusal::Damaged { reason: error.to_string() })?;
        survey.check()?;
        Ok(survey)
    }

    fn walk(&mut self, wasm: &'a [u8]) -> Result<(), BinaryReaderError> {
        let mut code = 0;
        for payload in Parser::new(0).parse_all(wasm) {
            match payload? {
                Payload::ImportSection(imports) => {
                    for import in imports.into_imports().take(IMPORTS_SEEN) {
                        let import = import?;
                        self.imports.push((import.module.to_owned(), import.name.to_owned()));
                    }
                }
                Payload::FunctionSection(functions) => self.functions = functions.count(),
                Payload::StartSection { .. } => self.start = true,
                Payload::MemorySection(memories) => {
                    for memory in memories.into_iter().take(2) {
                        self.memories.push(memory?);
                    }
                }
                Payload::TableSection(tables) => {
                    for table in tables.into_iter().take(2) {
                        self.tables.push(table?.ty.initial);
                    }
                }
                Payload::CodeSectionEntry(body) => {
                    let mut count = 0u32;
                    for group in body.get_locals_reader()? {
                        count = count.saturating_add(group?.0);
                        // A group is two bytes and may claim four thousand million: no need to see them all.
                        if count > LOCALS_MAX {
                            self.locals = self.locals.or(Some((code, count)));
                            break;
                        }
                    }
                    code += 1;
                }
                Payload::CustomSection(section) => match section.name() {
                    abi::MANIFEST_SECTION => self.manifest.push(section.data()),
                    "name" => self.names = true,
                    _ => {}
                },
                _ => {}
            }
        }
        Ok(())
    }

    fn check(&mut self) -> Result<(), Refusal> {
        if !self.imports.is_empty() {
            return Err(Refusal::Imports { imports: std::mem::take(&mut self.imports) });
        }
        if self.start {
            return Err(Refusal::Start);
        }
        self.check_memories()?;
        if self.tables.len() > 1 {
            return Err(Refusal::Tables { found: "several tables".into() });
        }
        if let Some(&entries) = self.tables.iter().find(|entries| **entries > TABLE_MAX) {
            return Err(Refusal::Tables { found: format!("a table of {entries} entries") });
        }
        if self.functions > FUNCTIONS_MAX {
            return Err(Refusal::Functions { count: self.functions });
        }
        if let Some((function, count)) = self.locals {
            // There are no imports, so the n-th body is function n.
            return Err(Refusal::Locals { function: function.to_string(), count });
        }
        Ok(())
    }

    fn check_memories(&self) -> Result<(), Refusal> {
        let refuse = |found, advice| Err(Refusal::MemoryKind { found, advice });
        let [memory] = self.memories[..] else {
            return match self.memories.len() {
                0 => Ok(()), // The missing export says it better.
                _ => refuse("several memories", "turn the target feature `multimemory` off"),
            };
        };
        if memory.memory64 {
            return refuse("a 64-bit memory", "build for wasm32-unknown-unknown, not wasm64");
        }
        if memory.shared {
            return refuse("a shared memory", "turn the target feature `atomics` off");
        }
        if memory.page_size_log2.is_some() {
            return refuse("a memory of unusual pages", "turn `custom-page-sizes` off");
        }
        let asked = memory.initial.saturating_mul(PAGE);
        if asked > MEMORY_MAX {
            return Err(Refusal::Memory { asked, limit: MEMORY_MAX });
        }
        Ok(())
    }
}
