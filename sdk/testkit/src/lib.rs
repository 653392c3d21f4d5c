//! Plays scenes against a rule: a table of events goes in, a transcript of what the rule did comes out.
//!
//! ```
//! use tidegate_sdk::prelude::*;
//! use tidegate_testkit::{Scene, expect};
//!
//! /// How often each stream has spoken.
//! #[derive(Serialize, Deserialize)]
//! struct Spoken(u64);
//!
//! #[rule(query = r#"service = "cpu""#, per = Stream)]
//! impl Rule for Spoken {
//!     type Params = ();
//!
//!     fn first_seen(_: &Event, _: &()) -> Self {
//!         Spoken(0)
//!     }
//!
//!     fn on_event(&mut self, _: &Event, _: &(), out: &mut Out) {
//!         self.0 += 1;
//!         out.emit().service("spoken").metric(self.0).send();
//!     }
//! }
//!
//! Scene::<Spoken>::new()
//!     .play(
//!         "
//!         at  host  service  metric
//!         0s  web1  cpu           1
//!         1s  web1  disk          2
//!         2s  web1  cpu           3
//!         ",
//!     )
//!     .leaves(expect![["
//!         0s  emit  web1 spoken  1
//!         2s  emit  web1 spoken  2
//!     "]]);
//! ```
//!
//! What runs is the true engine with one shard, and the rule linked in instead of a module: queries, keys, time-to-live,
//! wakes and re-entering events are those of production. Time moves only as the table says.
//!
//! - [`Scene`] describes the table and plays it. What was [`Played`] can go on after a
//!   [`restart`](Played::restart), or with another version of the rule ([`swap`](Played::swap)).
//!   [`Scene::replay`] plays recorded events instead of a table.
//! - [`recording`] keeps what went in and came out as bytes, so that the compiled module can be held against it: with
//!   `TIDEGATE_SCENES` set to a folder, every scene that is played leaves a file there.
//!
//! Not here: wasm. `tidegate test` replays the recordings against the module.

mod book;
mod linked;
mod recorded;
pub mod recording;
mod scene;
mod stage;
mod table;
mod transcript;

pub use expect_test::{Expect, expect};
pub use scene::{Played, Scene};
