use tidegate_sdk::prelude::*;

#[derive(Serialize, Deserialize)]
struct Twice;

#[rule(query = "true", per = Stream, query = "false")]
impl Rule for Twice {
    type Params = ();

    fn first_seen(_: &Event, _: &()) -> Self {
        Twice
    }

    fn on_event(&mut self, _: &Event, _: &(), _: &mut Out) {}
}

#[derive(Serialize, Deserialize)]
struct Comma;

#[rule(query = "true" per = Stream)]
impl Rule for Comma {
    type Params = ();

    fn first_seen(_: &Event, _: &()) -> Self {
        Comma
    }

    fn on_event(&mut self, _: &Event, _: &(), _: &mut Out) {}
}

#[derive(Serialize, Deserialize)]
struct Colon;

#[rule(query: "true", per = Stream)]
impl Rule for Colon {
    type Params = ();

    fn first_seen(_: &Event, _: &()) -> Self {
        Colon
    }

    fn on_event(&mut self, _: &Event, _: &(), _: &mut Out) {}
}

fn main() {}
