//! For the chaos driver: does one of the things that a rule must not do. Which one is said when it is deployed.

use tidegate_sdk::prelude::*;

#[derive(Params)]
pub struct Settings {
    /// `trap`, `loop`, `hog`, `flood` or `echo`.
    how: String,
    /// Of so many events one sets it off.
    #[param(default = 1000)]
    one_in: u32,
    /// What `echo` says.
    #[param(default = "echo")]
    says: String,
    /// Receives the flood.
    sink: Output,
}

/// What it keeps of one stream.
#[derive(Default, Serialize, Deserialize)]
pub struct Villain {
    seen: u64,
    /// Memory that it does not give back.
    #[serde(skip)]
    hoard: Vec<Vec<u8>>,
}

/// What the hog takes at each event.
const GULP: usize = 1 << 20;

/// What the flood sends at once.
const FLOOD: usize = 1_000_000;

#[rule(query = r#"service = "chaos""#, per = Stream, reads(metric))]
impl Rule for Villain {
    type Params = Settings;

    fn first_seen(_: &Event, _: &Settings) -> Self {
        Self::default()
    }

    fn on_event(&mut self, event: &Event, settings: &Settings, out: &mut Out) {
        self.seen += 1;
        if settings.how == "echo" {
            return out.emit().service(&settings.says).send();
        }
        let number = event.metric().unwrap_or_default() as u64;
        if !number.is_multiple_of(u64::from(settings.one_in.max(1))) {
            return;
        }
        match settings.how.as_str() {
            "trap" => panic!("on purpose, at {number}"),
            "loop" => loop {
                self.seen = std::hint::black_box(self.seen.wrapping_add(1));
            },
            "hog" => loop {
                self.hoard.push(vec![1; GULP]);
            },
            "flood" => {
                for n in 0..FLOOD {
                    out.to(settings.sink).metric(n as f64).send();
                }
            }
            other => panic!("how = {other:?} is not known"),
        }
    }
}
