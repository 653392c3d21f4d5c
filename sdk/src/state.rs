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
use serde::de::{self, DeserializeOwned, Expected, Unexpected};
use serde::ser;
use std::fmt;

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
    panic!("what the key remembers cannot be saved: {error}")
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
        path if path.is_empty() => error.reason(),
        path => format!("field `{path}`: {error}"),
    }
}

/// Why a value was not written or read. One word, since every derived reader hands it on at each of its fields.
#[derive(Debug)]
pub struct Error(Box<Reason>);

#[derive(Debug)]
struct Reason(String);

impl Error {
    #[cold]
    #[inline(never)]
    fn new(reason: fmt::Arguments<'_>) -> Self {
        Self(Box::new(Reason(fmt::format(reason))))
    }

    fn reason(self) -> String {
        self.0.0
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.0)
    }
}

impl std::error::Error for Error {}

impl ser::Error for Error {
    #[cold]
    #[inline(never)]
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(format_args!("{message}"))
    }
}

/// What was found is put into words here: serde's own words print floats and escape texts, which are 25 KiB of code in a
/// module that does neither.
impl de::Error for Error {
    #[cold]
    #[inline(never)]
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(format_args!("{message}"))
    }

    #[cold]
    #[inline(never)]
    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format_args!("invalid type: {}, expected {expected}", Found(found)))
    }

    #[cold]
    #[inline(never)]
    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format_args!("invalid value: {}, expected {expected}", Found(found)))
    }
}

/// What was found instead of what was expected.
struct Found<'a>(Unexpected<'a>);

impl fmt::Display for Found<'_> {
    #[cold]
    #[inline(never)]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Unexpected::Bool(true) => "boolean `true`",
            Unexpected::Bool(false) => "boolean `false`",
            Unexpected::Unsigned(number) => return write!(f, "integer `{number}`"),
            Unexpected::Signed(number) => return write!(f, "integer `{number}`"),
            // What stands behind the point is left out.
            Unexpected::Float(number) => return write!(f, "floating point near `{}`", *number as i64),
            Unexpected::Char(letter) => return write!(f, "character `{letter}`"),
            Unexpected::Str(text) => return write!(f, "string `{text}`"),
            Unexpected::Bytes(_) => "byte array",
            Unexpected::Unit => "unit value",
            Unexpected::Option => "Option value",
            Unexpected::NewtypeStruct => "newtype struct",
            Unexpected::Seq => "sequence",
            Unexpected::Map => "map",
            Unexpected::Enum => "enum",
            Unexpected::UnitVariant => "unit variant",
            Unexpected::NewtypeVariant => "newtype variant",
            Unexpected::TupleVariant => "tuple variant",
            Unexpected::StructVariant => "struct variant",
            Unexpected::Other(what) => what,
        })
    }
}

#[cfg(test)]
mod tests;
