//! `#[derive(Params)]`: a struct's fields, as the host is told of them and as they are read back.

use crate::json;
use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Field, Fields, GenericArgument, Lit, PathArguments, Type};

pub fn expand(input: TokenStream) -> TokenStream {
    syn::parse2::<DeriveInput>(input).and_then(derive).unwrap_or_else(Error::into_compile_error)
}

fn derive(input: DeriveInput) -> Result<TokenStream, Error> {
    let name = &input.ident;
    if !input.generics.params.is_empty() {
        return Err(Error::new_spanned(
            &input.generics,
            "parameters are one concrete struct: it cannot be generic",
        ));
    }
    let fields = match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => &fields.named,
            _ => {
                return Err(Error::new_spanned(
                    name,
                    "parameters have names: write `struct Name { limit: f64, … }`, or use `()` for none",
                ));
            }
        },
        _ => {
            return Err(Error::new_spanned(
                name,
                "parameters are a struct with named fields: a choice between words is a `String` field",
            ));
        }
    };
    let mut schema = Vec::new();
    let mut reads = Vec::new();
    let mut errors: Option<Error> = None;
    for field in fields {
        match param(field) {
            Ok(json) => schema.push(json),
            Err(error) => match &mut errors {
                Some(errors) => errors.combine(error),
                None => errors = Some(error),
            },
        }
        let Some(ident) = &field.ident else { continue };
        let label = ident.to_string();
        let ty = &field.ty;
        reads.push(
            quote_spanned! {ty.span()=> #ident: ::tidegate_sdk::params::value::<#ty>(settings, #label)? },
        );
    }
    if let Some(errors) = errors {
        return Err(errors);
    }
    let schema = format!("[{}]", schema.join(","));
    Ok(quote! {
        impl ::tidegate_sdk::Params for #name {
            const SCHEMA: &'static str = #schema;

            fn read(settings: &mut ::tidegate_sdk::params::Settings<'_>) -> ::core::result::Result<Self, ::std::string::String> {
                let _ = &settings;
                ::core::result::Result::Ok(Self { #(#reads),* })
            }
        }
    })
}

/// A parameter as it stands in the manifest.
fn param(field: &Field) -> Result<String, Error> {
    let name = field.ident.as_ref().map(ToString::to_string).unwrap_or_default();
    let name = name.trim_start_matches("r#");
    let (kind, optional) = kind(&field.ty)?;
    let default = default(field, kind, optional)?;
    let kind = kind.name;
    let doc = json::doc(&field.attrs);
    let mut json = format!(r#"{{"name":{},"kind":"{kind}","doc":{}"#, json::string(name), json::string(&doc));
    if let Some(default) = default {
        json.push_str(&format!(r#","default":{}"#, json::string(&default)));
    }
    json.push_str(&format!(r#","optional":{optional}}}"#));
    Ok(json)
}

/// What a parameter takes.
#[derive(Clone, Copy)]
struct Kind {
    /// Its name in the manifest.
    name: &'static str,
    /// For whole numbers, from where to where.
    range: (i128, i128),
}

impl Kind {
    const fn of(name: &'static str) -> Self {
        Self { name, range: (i64::MIN as i128, i64::MAX as i128) }
    }
}

/// Whole numbers travel as i64, whatever type reads them.
const WHOLE: [(&str, i128, i128); 6] = [
    ("i64", i64::MIN as i128, i64::MAX as i128),
    ("i32", i32::MIN as i128, i32::MAX as i128),
    ("u64", 0, i64::MAX as i128),
    ("u32", 0, u32::MAX as i128),
    ("u16", 0, u16::MAX as i128),
    ("u8", 0, u8::MAX as i128),
];

/// The kind of a field's type, and whether it may be left out.
fn kind(ty: &Type) -> Result<(Kind, bool), Error> {
    let unknown = |hint: &str| {
        Error::new_spanned(
            ty,
            format!(
                "a parameter is f64, a whole number (i64, u32, …), bool, String, Span, Output, or an Option of one of them{hint}"
            ),
        )
    };
    let Type::Path(path) = ty else {
        let text =
            matches!(ty, Type::Reference(reference) if quote!(#reference).to_string().ends_with("str"));
        return Err(unknown(if text { ": text is `String`" } else { "" }));
    };
    let last = path.path.segments.last().ok_or_else(|| unknown(""))?;
    if last.ident == "Option" {
        let PathArguments::AngleBracketed(arguments) = &last.arguments else { return Err(unknown("")) };
        let Some(GenericArgument::Type(inside)) = arguments.args.first() else { return Err(unknown("")) };
        return match kind(inside)? {
            (_, true) => Err(unknown(": one `Option` is enough")),
            (Kind { name: "output" | "outputs", .. }, _) => Err(Error::new_spanned(
                ty,
                "an output that is given nowhere goes to the live page: write `Output`",
            )),
            (kind, false) => Ok((kind, true)),
        };
    }
    if !last.arguments.is_none() {
        return Err(unknown(""));
    }
    let name = last.ident.to_string();
    let kind = match name.as_str() {
        "f64" => "number",
        "bool" => "flag",
        "String" => "text",
        "Span" => "span",
        "Output" => "output",
        "Outputs" => "outputs",
        "f32" => return Err(unknown(": write `f64`")),
        "usize" => return Err(unknown(": write `u32`, since `usize` differs between machines")),
        "isize" => return Err(unknown(": write `i32`, since `isize` differs between machines")),
        "Duration" => return Err(unknown(": a length of time is `Span`")),
        name => match WHOLE.iter().find(|(whole, ..)| *whole == name) {
            Some((_, least, most)) => return Ok((Kind { name: "integer", range: (*least, *most) }, false)),
            None => return Err(unknown("")),
        },
    };
    Ok((Kind::of(kind), false))
}

/// The value that a field has when none is given, as text.
fn default(field: &Field, kind: Kind, optional: bool) -> Result<Option<String>, Error> {
    let mut default = None;
    for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("param")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("default") {
                return Err(meta.error("a parameter knows `default = …` and nothing else"));
            }
            if optional {
                return Err(
                    meta.error("a parameter with a default is always there: write its type without `Option`")
                );
            }
            let wrong = |span, found: String| {
                let expected = expected(kind);
                Error::new(span, format!("{expected} was expected as the default of this parameter{found}"))
            };
            let value = meta.value().map_err(|error| wrong(error.span(), String::new()))?;
            let negative = value.peek(syn::Token![-]) && value.parse::<syn::Token![-]>().is_ok();
            let literal: Lit = value.parse().map_err(|error: Error| wrong(error.span(), String::new()))?;
            let text = literal_text(&literal).map(|text| if negative { format!("-{text}") } else { text });
            match text {
                Some(text) if !fits(kind, &text) => Err(wrong(literal.span(), format!(", found `{text}`"))),
                Some(_) if default.is_some() => Err(meta.error("a parameter has one default")),
                Some(text) => {
                    default = Some(text);
                    Ok(())
                }
                None => Err(wrong(literal.span(), String::new())),
            }
        })?;
    }
    Ok(default)
}

fn literal_text(literal: &Lit) -> Option<String> {
    Some(match literal {
        Lit::Str(text) => text.value(),
        Lit::Int(number) => number.base10_digits().to_owned(),
        Lit::Float(number) => number.base10_digits().to_owned(),
        Lit::Bool(flag) => flag.value.to_string(),
        _ => return None,
    })
}

fn fits(kind: Kind, text: &str) -> bool {
    match kind.name {
        "number" => text.parse::<f64>().is_ok(),
        "integer" => text.parse().is_ok_and(|n: i128| (kind.range.0..=kind.range.1).contains(&n)),
        "flag" => text.parse::<bool>().is_ok(),
        "span" => is_span(text),
        _ => true,
    }
}

/// Whether the host reads this as a length of time.
fn is_span(text: &str) -> bool {
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    number.trim().parse::<f64>().is_ok_and(f64::is_finite)
        && ["", "us", "ms", "s", "m", "min", "h", "d"].contains(&unit)
}

fn expected(kind: Kind) -> String {
    let words = match kind.name {
        "number" => "a number like 0.5",
        "integer" => return format!("a whole number from {} to {}", kind.range.0, kind.range.1),
        "flag" => "true or false",
        "span" => "a length of time like \"5s\", \"250ms\" or \"10m\"",
        "output" => "the name of an output like \"pager\"",
        _ => "text in quotes",
    };
    words.to_owned()
}
