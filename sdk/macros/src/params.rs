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
            return Err(Error::new_spanned(name, "parameters are a struct with named fields"));
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
    let doc = json::doc(&field.attrs);
    let mut json = format!(r#"{{"name":{},"kind":"{kind}","doc":{}"#, json::string(name), json::string(&doc));
    if let Some(default) = default {
        json.push_str(&format!(r#","default":{}"#, json::string(&default)));
    }
    json.push_str(&format!(r#","optional":{optional}}}"#));
    Ok(json)
}

const WHOLE: [&str; 6] = ["i64", "i32", "u64", "u32", "u16", "u8"];

/// The kind of a field's type, and whether it may be left out.
fn kind(ty: &Type) -> Result<(&'static str, bool), Error> {
    let unknown = || {
        Error::new_spanned(
            ty,
            "a parameter is f64, a whole number (i64, u32, …), bool, String, Span, Output, or an Option of one of them",
        )
    };
    let Type::Path(path) = ty else { return Err(unknown()) };
    let last = path.path.segments.last().ok_or_else(unknown)?;
    if last.ident == "Option" {
        let PathArguments::AngleBracketed(arguments) = &last.arguments else { return Err(unknown()) };
        let Some(GenericArgument::Type(inside)) = arguments.args.first() else { return Err(unknown()) };
        return match kind(inside)? {
            (_, true) => Err(unknown()),
            ("output" | "outputs", _) => Err(Error::new_spanned(
                ty,
                "an output that is given nowhere goes to the live page: write `Output`",
            )),
            (kind, false) => Ok((kind, true)),
        };
    }
    if !last.arguments.is_none() {
        return Err(unknown());
    }
    let name = last.ident.to_string();
    match name.as_str() {
        "f64" => Ok(("number", false)),
        "bool" => Ok(("flag", false)),
        "String" => Ok(("text", false)),
        "Span" => Ok(("span", false)),
        "Output" => Ok(("output", false)),
        "Outputs" => Ok(("outputs", false)),
        whole if WHOLE.contains(&whole) => Ok(("integer", false)),
        _ => Err(unknown()),
    }
}

/// The value that a field has when none is given, as text.
fn default(field: &Field, kind: &str, optional: bool) -> Result<Option<String>, Error> {
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
            let negative = {
                let value = meta.value()?;
                value.peek(syn::Token![-]) && value.parse::<syn::Token![-]>().is_ok()
            };
            let literal: Lit = meta.input.parse()?;
            let text = literal_text(&literal).map(|text| if negative { format!("-{text}") } else { text });
            match text.filter(|text| fits(kind, text)) {
                Some(text) => default = Some(text),
                None => {
                    return Err(Error::new(
                        literal.span(),
                        format!("{} was expected as the default of this parameter", expected(kind)),
                    ));
                }
            }
            Ok(())
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

fn fits(kind: &str, text: &str) -> bool {
    match kind {
        "number" => text.parse::<f64>().is_ok(),
        "integer" => text.parse::<i64>().is_ok(),
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

fn expected(kind: &str) -> &'static str {
    match kind {
        "number" => "a number like 0.5",
        "integer" => "a whole number",
        "flag" => "true or false",
        "span" => "a length of time like \"5s\", \"250ms\" or \"10m\"",
        "output" => "the name of an output like \"pager\"",
        _ => "text in quotes",
    }
}
