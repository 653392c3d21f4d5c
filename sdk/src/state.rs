//! What a key remembers as bytes: MessagePack, structs as maps with the names of their fields.
//!
//! The bytes are those that `rmp_serde::to_vec_named` writes, which the tests hold them against. That crate makes its whole
//! reader anew for each type that is read, which doubled the size of a module; here all that does not depend on the type
//! is written once.
//!
//! Saving cannot fail for data; what calls itself data and refuses to be saved is a panic of the rule. Reading can, since
//! what was saved may be of another version, and then says which field it was and what was expected and found.

mod path;
mod read;
mod write;

use crate::rule::Remembered;
use serde::de::DeserializeOwned;

/// Lists and maps within each other: deeper ones are neither saved nor read.
const DEPTH_MAX: u32 = 128;

/// What a key remembered when another version of the rule saved it, for [`Rule::migrate`](crate::Rule::migrate).
#[derive(Clone, Copy, Debug)]
pub struct Saved<'a> {
    schema: u32,
    state: &'a [u8],
}

impl<'a> Saved<'a> {
    pub(crate) fn new(schema: u32, state: &'a [u8]) -> Self {
        Self { schema, state }
    }

    /// The `state_schema` of the version that saved it.
    pub fn schema(&self) -> u32 {
        self.schema
    }

    /// What was saved, as a struct that looks like the one of that version. Fields that it does not have are passed over;
    /// those that were not saved need `#[serde(default)]`. The error names the field.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, String> {
        read(self.state)
    }
}

/// Appends a value.
pub fn write<S: Remembered>(state: &S, to: &mut Vec<u8>) {
    if let Err(error) = state.serialize(&mut write::Writer::new(to)) {
        refuse(&error);
    }
}

#[cold]
#[inline(never)]
fn refuse(error: &Error) -> ! {
    panic!("what the key remembers cannot be saved: {}", error.0)
}

/// The value in these bytes.
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let mut reader = read::Reader::new(bytes);
    T::deserialize(&mut reader)
        .and_then(|value| reader.end().map(|()| value))
        .map_err(|error| explain(&reader, error))
}

/// Says at which field reading stopped.
#[cold]
#[inline(never)]
fn explain(reader: &read::Reader<'_>, error: Error) -> String {
    match path::to(reader) {
        path if path.is_empty() => error.0,
        path => ["field `", &path, "`: ", &error.0].concat(),
    }
}

/// Why a value was not written or read.
#[derive(Debug)]
pub struct Error(String);

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl serde::ser::Error for Error {
    #[cold]
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

impl serde::de::Error for Error {
    #[cold]
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

#[cfg(test)]
mod tests;
