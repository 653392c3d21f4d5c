//! The two macros of the SDK: `#[rule]` and `#[derive(Params)]`. Both describe; neither changes what you wrote.

mod json;
mod params;
mod rule;
mod words;

use proc_macro::TokenStream;

/// Makes an `impl Rule for …` a module: leaves the block as it stands, and appends the exports that the host calls and the
/// manifest that it reads.
///
/// ```text
/// #[rule(
///     query = r#"service =~ "http.%" and metric != nil"#,   // which events; a deployment may say otherwise
///     per = Stream,            // what gets its own copy: Stream, Host, Service, Attribute("name") or Whole
///     reads(metric, time),     // the fields that it looks at; all of them when nothing is said
///     state_schema = 2,        // counted up when what is saved can no longer be read; 1 when nothing is said
/// )]
/// impl Rule for Latency { … }
/// ```
///
/// The manifest takes the name and version from the package, and what the rule does from the documentation of the block or,
/// if that has none, of its file.
#[proc_macro_attribute]
pub fn rule(args: TokenStream, block: TokenStream) -> TokenStream {
    let file = proc_macro::Span::call_site().local_file();
    rule::expand(args.into(), block.into(), file.as_deref()).into()
}

/// Describes a struct as the parameters of a rule: see the trait of the same name.
#[proc_macro_derive(Params, attributes(param))]
pub fn params(input: TokenStream) -> TokenStream {
    params::expand(input.into()).into()
}
