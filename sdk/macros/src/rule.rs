//! `#[rule]`: reads what it is told and the head of the block, leaves the block alone, appends a footer.

use crate::json;
use crate::words::hint;
use proc_macro2::{Span, TokenStream};
use quote::quote;
use std::path::Path;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::{Error, Ident, Item, ItemImpl, LitInt, LitStr, Token, Type, parenthesized};

const FIELDS: [&str; 9] =
    ["host", "service", "state", "description", "ttl", "tags", "attributes", "time", "metric"];

const ARGUMENTS: [&str; 4] = ["query", "per", "reads", "state_schema"];

const WIDTHS: [&str; 5] = ["Stream", "Host", "Service", "Attribute", "Whole"];

const ATTRIBUTE: &str = "the name of an attribute in quotes was expected, like `Attribute(\"rack\")`";

const READS: &str = "fields in parentheses were expected, like `reads(metric, time)`";

const KEYS: &str = "`per` is one of Stream, Host, Service, Attribute(\"name\") and Whole: it says what gets its own copy of the struct";

const SHAPE: &str = "#[rule] stands on `impl Rule for YourStruct { … }`";

pub fn expand(args: TokenStream, block: TokenStream, file: Option<&Path>) -> TokenStream {
    let footer = footer(args, block.clone(), file).unwrap_or_else(Error::into_compile_error);
    quote! { #block #footer }
}

fn footer(args: TokenStream, block: TokenStream, file: Option<&Path>) -> Result<TokenStream, Error> {
    let block = shape(block)?;
    let rule = &block.self_ty;
    let args: Args = syn::parse2(args)?;
    let mut doc = json::doc(&block.attrs);
    if doc.is_empty() {
        doc = file.map(file_doc).unwrap_or_default();
    }
    let reads: Vec<_> = args.reads.iter().map(|field| json::string(field)).collect();
    let head = format!("{{\"abi\":{},\"name\":\"", 1);
    let middle = format!(
        "\",\"doc\":{},\"query\":{},\"per\":{},\"reads\":[{}],\"params\":",
        json::string(&doc),
        json::string(&args.query),
        json::string(&args.per),
        reads.join(",")
    );
    let tail = format!(",\"state_schema\":{},\"sdk\":\"", args.state_schema);
    let schema = args.state_schema;
    Ok(quote! {
        const _: () = {
            const PARTS: &[&str] = &[
                #head,
                ::core::env!("CARGO_PKG_NAME"),
                "\",\"version\":\"",
                ::core::env!("CARGO_PKG_VERSION"),
                #middle,
                <<#rule as ::tidegate_sdk::Rule>::Params as ::tidegate_sdk::Params>::SCHEMA,
                #tail,
                ::tidegate_sdk::VERSION,
                "\"}",
            ];
            const LEN: usize = ::tidegate_sdk::rt::len(PARTS);
            const BYTES: [u8; LEN] = ::tidegate_sdk::rt::join(PARTS);

            impl ::tidegate_sdk::rt::RuleManifest for #rule {
                const MANIFEST: &'static str = ::tidegate_sdk::rt::text(&BYTES);
                const STATE_SCHEMA: u32 = #schema;
            }

            ::tidegate_sdk::__export!(#rule, BYTES, LEN);
        };
    })
}

/// The block, if it is one that can be a rule.
fn shape(block: TokenStream) -> Result<ItemImpl, Error> {
    let block = match syn::parse2::<Item>(block)? {
        Item::Impl(block) => block,
        Item::Struct(item) => return Err(Error::new_spanned(item.ident, SHAPE)),
        Item::Fn(item) => return Err(Error::new_spanned(item.sig.ident, SHAPE)),
        item => return Err(Error::new_spanned(item, SHAPE)),
    };
    let of_rule = block.trait_.as_ref().and_then(|(_, path, _)| path.segments.last());
    if of_rule.is_none_or(|segment| segment.ident != "Rule") {
        return Err(Error::new_spanned(&block.self_ty, SHAPE));
    }
    let concrete = match &*block.self_ty {
        Type::Path(path) => path.path.segments.iter().all(|segment| segment.arguments.is_none()),
        _ => false,
    };
    if !concrete || !block.generics.params.is_empty() {
        return Err(Error::new_spanned(
            &block.self_ty,
            "a rule is one concrete struct: what varies goes into its parameters",
        ));
    }
    Ok(block)
}

/// The first paragraph of a file's own documentation.
fn file_doc(file: &Path) -> String {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let lines = text.lines().map_while(|line| line.strip_prefix("//!")).map(str::to_owned);
    json::paragraph(lines)
}

/// What stands in the parentheses.
struct Args {
    query: String,
    per: String,
    reads: Vec<String>,
    state_schema: u32,
}

impl Parse for Args {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let (mut query, mut per, mut reads, mut state_schema) = (None, None, None, None);
        while !input.is_empty() {
            let key: Ident = input.call(Ident::parse_any)?;
            let name = key.to_string();
            let twice = match name.as_str() {
                "query" => {
                    equals(input, "query = \"metric > 5\"")?;
                    query.replace(text(input)?).is_some()
                }
                "per" => {
                    equals(input, "per = Stream")?;
                    per.replace(width(input)?).is_some()
                }
                "reads" => reads.replace(fields(input)?).is_some(),
                "state_schema" => {
                    equals(input, "state_schema = 2")?;
                    state_schema.replace(schema(input)?).is_some()
                }
                _ => {
                    return Err(Error::new(
                        key.span(),
                        format!(
                            "#[rule] knows query, per, reads and state_schema, but not `{name}`{}",
                            hint(&name, &ARGUMENTS)
                        ),
                    ));
                }
            };
            if twice {
                return Err(Error::new(
                    key.span(),
                    format!("`{name}` stands here twice: leave one of them out"),
                ));
            }
            if !input.is_empty() {
                let comma = format!("a comma was expected behind `{name}`, before what follows");
                input.parse::<Token![,]>().map_err(|error| Error::new(error.span(), comma))?;
            }
        }
        let missing = |what| Error::new(Span::call_site(), what);
        Ok(Self {
            query: query.ok_or_else(|| {
                missing("which events? write #[rule(query = \"metric > 5\", per = Stream)]; \"true\" is all of them")
            })?,
            per: per.ok_or_else(|| missing(KEYS))?,
            reads: reads.unwrap_or_else(|| FIELDS.iter().map(|&field| field.to_owned()).collect()),
            state_schema: state_schema.unwrap_or(1),
        })
    }
}

/// The sign behind the name of an argument.
fn equals(input: ParseStream<'_>, like: &str) -> syn::Result<()> {
    let sign = input.parse::<Token![=]>();
    sign.map(drop).map_err(|error| Error::new(error.span(), format!("`=` was expected here, as in `{like}`")))
}

/// The number of a schema; 0 is none, since counting begins with 1.
fn schema(input: ParseStream<'_>) -> syn::Result<u32> {
    const NUMBER: &str = "`state_schema` is a whole number from 1 on: count it up when what is saved changes";
    let number: LitInt = input.parse().map_err(|error| Error::new(error.span(), NUMBER))?;
    number.base10_parse().ok().filter(|n| *n > 0).ok_or_else(|| Error::new(number.span(), NUMBER))
}

fn text(input: ParseStream<'_>) -> syn::Result<String> {
    let text: LitStr = input
        .parse()
        .map_err(|error| Error::new(error.span(), "a query in quotes was expected, like \"metric > 5\""))?;
    Ok(text.value())
}

/// The key as the manifest spells it.
fn width(input: ParseStream<'_>) -> syn::Result<String> {
    let width: Ident = input.parse().map_err(|error| Error::new(error.span(), KEYS))?;
    Ok(match width.to_string().as_str() {
        "Stream" => "stream".to_owned(),
        "Host" => "host".to_owned(),
        "Service" => "service".to_owned(),
        "Whole" => "whole".to_owned(),
        "Attribute" => {
            let name = attribute(input).map_err(|error| Error::new(error.span(), ATTRIBUTE))?;
            if name.value().is_empty() {
                return Err(Error::new(name.span(), format!("the attribute's name is empty: {ATTRIBUTE}")));
            }
            format!("attribute:{}", name.value())
        }
        written => {
            return Err(Error::new(width.span(), format!("{KEYS}{}", hint(written, &WIDTHS))));
        }
    })
}

/// The name of the attribute that a rule is keyed by.
fn attribute(input: ParseStream<'_>) -> syn::Result<LitStr> {
    let inside;
    parenthesized!(inside in input);
    let name = inside.parse()?;
    if inside.is_empty() { Ok(name) } else { Err(inside.error("a name and nothing else")) }
}

/// The names in parentheses.
fn names(input: ParseStream<'_>) -> syn::Result<Vec<Ident>> {
    let inside;
    parenthesized!(inside in input);
    Ok(inside.parse_terminated(Ident::parse_any, Token![,])?.into_iter().collect())
}

/// The fields that a rule reads.
fn fields(input: ParseStream<'_>) -> syn::Result<Vec<String>> {
    let fields = names(input).map_err(|error| Error::new(error.span(), READS))?;
    fields
        .into_iter()
        .map(|field| {
            let name = field.to_string();
            if FIELDS.contains(&name.as_str()) {
                return Ok(name);
            }
            Err(Error::new(
                field.span(),
                format!(
                    "events have the fields {}, but no `{name}`{}",
                    FIELDS.join(", "),
                    hint(&name, &FIELDS)
                ),
            ))
        })
        .collect()
}
