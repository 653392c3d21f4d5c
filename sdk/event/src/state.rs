//! The five usual words for how a thing is, as a code that fits a byte; any other word travels as text.

use core::fmt;

/// A state as a code. `Other` stands for any word of the sender's own: read it with [`Event::state`](crate::Event::state).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum State {
    /// A word that is none of the five below, or no state at all.
    #[default]
    Other = 0,
    /// `ok`
    Ok = 1,
    /// `warning`
    Warning = 2,
    /// `critical`
    Critical = 3,
    /// `unknown`
    Unknown = 4,
    /// `expired`: the stream has not spoken within its ttl.
    Expired = 5,
}

impl State {
    /// The code for a word; exact, since Riemann compares states exactly.
    pub fn of(word: &[u8]) -> Self {
        match word {
            b"ok" => Self::Ok,
            b"warning" => Self::Warning,
            b"critical" => Self::Critical,
            b"unknown" => Self::Unknown,
            b"expired" => Self::Expired,
            _ => Self::Other,
        }
    }

    /// The code stored in a row's flags; unknown codes, from a newer writer, read as `Other`.
    pub const fn from_code(code: u8) -> Self {
        match code {
            1 => Self::Ok,
            2 => Self::Warning,
            3 => Self::Critical,
            4 => Self::Unknown,
            5 => Self::Expired,
            _ => Self::Other,
        }
    }

    /// The word; empty for `Other`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Other => "",
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Critical => "critical",
            Self::Unknown => "unknown",
            Self::Expired => "expired",
        }
    }

    /// `Critical` when the condition holds, else `Ok`.
    pub const fn critical_if(condition: bool) -> Self {
        if condition { Self::Critical } else { Self::Ok }
    }

    /// `Warning` when the condition holds, else `Ok`.
    pub const fn warning_if(condition: bool) -> Self {
        if condition { Self::Warning } else { Self::Ok }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_codes_agree() {
        for code in 1..=5 {
            let state = State::from_code(code);
            assert_eq!(state as u8, code);
            assert_eq!(State::of(state.as_str().as_bytes()), state);
        }
        assert_eq!(State::of(b"OK"), State::Other);
        assert_eq!(State::from_code(77), State::Other);
    }
}
