use tidegate_sdk::prelude::*;

#[derive(Serialize, Deserialize)]
struct Equals;

#[rule(query = "true", per = Stream, reads = metric)]
impl Rule for Equals {
    type Params = ();

    fn first_seen(_: &Event, _: &()) -> Self {
        Equals
    }

    fn on_event(&mut self, _: &Event, _: &(), _: &mut Out) {}
}

#[derive(Serialize, Deserialize)]
struct Quotes;

#[rule(query = "true", per = Stream, reads("metric"))]
impl Rule for Quotes {
    type Params = ();

    fn first_seen(_: &Event, _: &()) -> Self {
        Quotes
    }

    fn on_event(&mut self, _: &Event, _: &(), _: &mut Out) {}
}

#[derive(Serialize, Deserialize)]
struct Near;

#[rule(query = "true", per = Stream, reads(metrics))]
impl Rule for Near {
    type Params = ();

    fn first_seen(_: &Event, _: &()) -> Self {
        Near
    }

    fn on_event(&mut self, _: &Event, _: &(), _: &mut Out) {}
}

fn main() {}
