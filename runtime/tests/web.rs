//! The HTTP interface over real sockets, in front of a node that answers from a list.

#[path = "web/api.rs"]
mod api;
#[path = "web/dead_letters.rs"]
mod dead_letters;
#[path = "web/docs.rs"]
mod docs;
#[path = "web/fake.rs"]
mod fake;
#[path = "web/limits.rs"]
mod limits;
#[path = "web/page.rs"]
mod page;
#[path = "web/riemann.rs"]
mod riemann;
#[path = "web/streams.rs"]
mod streams;
