//! The settings of a deployed rule as bytes: one value for each parameter of its manifest, in the manifest's order.
//!
//! ```text
//! value = u8 kind, then
//!   0 absent   nothing          3 flag     u8 0 or 1
//!   1 number   f64              4 text     u32 length, UTF-8
//!   2 integer  i64              5 span     i64 microseconds
//!                               6 output   u32 number of the output among the manifest's outputs
//! ```
//!
//! A parameter of the kind `outputs` is two values: the output for all names that are not among the others, then those names
//! as text, one in a line, numbered on from it.

use crate::time::Span;

/// What kind of value a parameter takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A float.
    Number = 1,
    /// A whole number.
    Integer = 2,
    /// Yes or no.
    Flag = 3,
    /// Text.
    Text = 4,
    /// A length of time.
    Span = 5,
    /// A place to send events to.
    Output = 6,
    /// Any number of places to send events to, by names of the rule's own.
    Outputs = 7,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 7] =
        [Self::Number, Self::Integer, Self::Flag, Self::Text, Self::Span, Self::Output, Self::Outputs];

    /// Its name in manifests.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Integer => "integer",
            Self::Flag => "flag",
            Self::Text => "text",
            Self::Span => "span",
            Self::Output => "output",
            Self::Outputs => "outputs",
        }
    }

    /// The kind of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// One value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Setting<'a> {
    /// Not given, and without a default.
    Absent,
    /// A float.
    Number(f64),
    /// A whole number.
    Integer(i64),
    /// Yes or no.
    Flag(bool),
    /// Text.
    Text(&'a str),
    /// A length of time.
    Span(Span),
    /// The number of an output among the manifest's outputs.
    Output(u32),
}

/// Writes settings, one value after the other.
#[derive(Clone, Debug, Default)]
pub struct SettingsWriter(Vec<u8>);

impl SettingsWriter {
    /// Appends a value.
    pub fn push(&mut self, setting: Setting<'_>) {
        let to = &mut self.0;
        match setting {
            Setting::Absent => to.push(0),
            Setting::Number(value) => {
                to.push(1);
                to.extend_from_slice(&value.to_le_bytes());
            }
            Setting::Integer(value) => {
                to.push(2);
                to.extend_from_slice(&value.to_le_bytes());
            }
            Setting::Flag(value) => to.extend_from_slice(&[3, value.into()]),
            Setting::Text(value) => {
                to.push(4);
                to.extend_from_slice(&(value.len() as u32).to_le_bytes());
                to.extend_from_slice(value.as_bytes());
            }
            Setting::Span(value) => {
                to.push(5);
                to.extend_from_slice(&value.0.to_le_bytes());
            }
            Setting::Output(value) => {
                to.push(6);
                to.extend_from_slice(&value.to_le_bytes());
            }
        }
    }

    /// The bytes.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Reads settings; ends at the first thing that is not a value.
#[derive(Clone, Debug)]
pub struct Settings<'a>(&'a [u8]);

impl<'a> Settings<'a> {
    /// The values in these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }
}

impl<'a> Iterator for Settings<'a> {
    type Item = Setting<'a>;

    fn next(&mut self) -> Option<Setting<'a>> {
        Some(match self.take::<1>()?[0] {
            0 => Setting::Absent,
            1 => Setting::Number(f64::from_le_bytes(self.take()?)),
            2 => Setting::Integer(i64::from_le_bytes(self.take()?)),
            3 => Setting::Flag(self.take::<1>()?[0] != 0),
            4 => {
                let len = u32::from_le_bytes(self.take()?) as usize;
                let (text, rest) = self.0.split_at_checked(len)?;
                self.0 = rest;
                Setting::Text(core::str::from_utf8(text).ok()?)
            }
            5 => Setting::Span(Span(i64::from_le_bytes(self.take()?))),
            6 => Setting::Output(u32::from_le_bytes(self.take()?)),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_read_back_in_order_and_stop_at_damage() {
        let all = [
            Setting::Number(2.5),
            Setting::Absent,
            Setting::Integer(-3),
            Setting::Flag(true),
            Setting::Text("grün"),
            Setting::Span(Span::secs(5)),
            Setting::Output(1),
        ];
        let mut writer = SettingsWriter::default();
        all.into_iter().for_each(|setting| writer.push(setting));
        let bytes = writer.finish();
        assert_eq!(Settings::new(&bytes).collect::<Vec<_>>(), all);
        for cut in 0..bytes.len() {
            assert!(Settings::new(&bytes[..cut]).count() < all.len());
        }
        assert_eq!(Settings::new(&[9, 9, 9]).count(), 0);
    }
}
