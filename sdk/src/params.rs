//! What is said when a rule is deployed: typed, documented, checked before anything starts.
//!
//! `#[derive(Params)]` describes a struct to the host, which checks what it is given, fills in defaults and hands the values
//! over in the order of the fields. Here they are read back.

use crate::out::Output;
use tidegate_event::{Setting, Span};

pub use tidegate_event::Settings;

/// The parameters of a rule. Derive it for a struct with named fields:
///
/// | field | a value looks like |
/// |---|---|
/// | `f64` | `250`, `0.5` |
/// | `i64`, `u32` and the other whole numbers | `3` |
/// | `bool` | `true` |
/// | `String` | any text |
/// | `Span` | `90s`, `5m`, `250ms` |
/// | `Output` | the name of an output of the node |
/// | `Outputs` | names of outputs of the node, each under a name of the rule's own |
/// | `Option<…>` of any of these but `Output` | may be left out |
///
/// A field's documentation is what people read who deploy the rule. `#[param(default = …)]` gives the value it has when
/// none is given.
///
/// ```
/// use tidegate_sdk::prelude::*;
///
/// #[derive(Params)]
/// pub struct Limits {
///     /// A p99 above this many milliseconds is critical.
///     limit_ms: f64,
///     /// How long a window is.
///     #[param(default = "5s")]
///     every: Span,
///     /// Receives every p99.
///     board: Output,
/// }
///
/// assert!(Limits::SCHEMA.starts_with(r#"[{"name":"limit_ms","kind":"number","doc":"A p99 above"#));
/// ```
#[diagnostic::on_unimplemented(
    message = "the parameters of a rule have to be described",
    label = "add #[derive(Params)] to `{Self}`, or write `type Params = ();` for none"
)]
pub trait Params: Sized + Send + 'static {
    /// The parameters as they stand in the manifest, in JSON.
    const SCHEMA: &'static str;

    /// Takes one value for each parameter, in order. The error is for whoever deploys the rule.
    fn read(settings: &mut Settings<'_>) -> Result<Self, String>;
}

/// A rule without parameters.
impl Params for () {
    const SCHEMA: &'static str = "[]";

    fn read(_: &mut Settings<'_>) -> Result<Self, String> {
        Ok(())
    }
}

/// A type that a parameter can have.
#[diagnostic::on_unimplemented(
    message = "a parameter cannot be a `{Self}`",
    label = "f64, a whole number, bool, String, Span, Output, or an Option of one of them"
)]
pub trait Value: Sized {
    /// What is expected, in words.
    const EXPECTED: &'static str;

    /// The value of a setting, if it is of that type.
    fn take(setting: Setting<'_>) -> Option<Self>;

    /// The next setting, or as many as it takes.
    fn read(settings: &mut Settings<'_>, name: &str) -> Result<Self, String> {
        let setting = settings.next();
        setting.and_then(Self::take).ok_or_else(|| unfit(name, Self::EXPECTED, setting))
    }
}

impl Value for f64 {
    const EXPECTED: &'static str = "a number";

    fn take(setting: Setting<'_>) -> Option<Self> {
        match setting {
            Setting::Number(value) => Some(value),
            Setting::Integer(value) => Some(value as f64),
            _ => None,
        }
    }
}

macro_rules! whole {
    ($($kind:ident: $expected:literal),*) => { $(
        impl Value for $kind {
            const EXPECTED: &'static str = $expected;

            fn take(setting: Setting<'_>) -> Option<Self> {
                match setting {
                    Setting::Integer(value) => value.try_into().ok(),
                    _ => None,
                }
            }
        }
    )* };
}

whole! {
    i64: "a whole number",
    i32: "a whole number of 32 bits",
    u64: "a whole number, not negative",
    u32: "a whole number from 0 to 4294967295",
    u16: "a whole number from 0 to 65535",
    u8: "a whole number from 0 to 255"
}

impl Value for bool {
    const EXPECTED: &'static str = "true or false";

    fn take(setting: Setting<'_>) -> Option<Self> {
        if let Setting::Flag(value) = setting { Some(value) } else { None }
    }
}

impl Value for String {
    const EXPECTED: &'static str = "text";

    fn take(setting: Setting<'_>) -> Option<Self> {
        if let Setting::Text(value) = setting { Some(value.to_owned()) } else { None }
    }
}

impl Value for Span {
    const EXPECTED: &'static str = "a length of time";

    fn take(setting: Setting<'_>) -> Option<Self> {
        if let Setting::Span(value) = setting { Some(value) } else { None }
    }
}

impl Value for Output {
    const EXPECTED: &'static str = "an output";

    fn take(setting: Setting<'_>) -> Option<Self> {
        if let Setting::Output(value) = setting { Some(Self(value)) } else { None }
    }
}

impl<T: Value> Value for Option<T> {
    const EXPECTED: &'static str = T::EXPECTED;

    fn take(setting: Setting<'_>) -> Option<Self> {
        match setting {
            Setting::Absent => Some(None),
            setting => T::take(setting).map(Some),
        }
    }
}

/// Places to send events to under names that only a rule's settings know. A name that the deployment does not mention goes
/// where the parameter itself goes.
///
/// ```
/// use tidegate_sdk::prelude::*;
///
/// #[derive(Params)]
/// struct Settings {
///     /// Where everything goes that is not said otherwise.
///     main: Outputs,
/// }
///
/// fn send(settings: &Settings, out: &mut Out) {
///     out.to(settings.main.named("pager")).send();
/// }
/// # assert!(Settings::SCHEMA.contains(r#""kind":"outputs""#));
/// ```
#[derive(Clone, Debug)]
pub struct Outputs {
    names: Vec<String>,
    rest: u32,
}

impl Outputs {
    /// The output for a name.
    pub fn named(&self, name: &str) -> Output {
        let known = self.names.iter().position(|other| other == name);
        Output(self.rest + known.map_or(0, |at| at as u32 + 1))
    }
}

impl Value for Outputs {
    const EXPECTED: &'static str = "an output";

    fn take(setting: Setting<'_>) -> Option<Self> {
        if let Setting::Output(rest) = setting { Some(Self { names: Vec::new(), rest }) } else { None }
    }

    fn read(settings: &mut Settings<'_>, name: &str) -> Result<Self, String> {
        let Output(rest) = Output::read(settings, name)?;
        let names = String::read(settings, name)?;
        Ok(Self { names: names.lines().map(str::to_owned).collect(), rest })
    }
}

/// The next setting as the value of a parameter. For the code that `#[derive(Params)]` writes.
pub fn value<T: Value>(settings: &mut Settings<'_>, name: &str) -> Result<T, String> {
    T::read(settings, name)
}

/// A float itself is left out: to write a float takes 20 KiB of code, and the host has checked all values before.
#[cold]
#[inline(never)]
fn unfit(name: &str, expected: &str, found: Option<Setting<'_>>) -> String {
    let found = match found {
        None => return format!("parameter {name}: no value was handed over"),
        Some(Setting::Absent) => "nothing",
        Some(Setting::Number(_)) => "a number",
        Some(Setting::Integer(n)) => return format!("parameter {name}: {expected} was expected, found {n}"),
        Some(Setting::Flag(_)) => "true or false",
        Some(Setting::Text(_)) => "text",
        Some(Setting::Span(_)) => "a length of time",
        Some(Setting::Output(_)) => "an output",
    };
    format!("parameter {name}: {expected} was expected, found {found}")
}
