use tidegate_sdk::prelude::*;

#[derive(Serialize, Deserialize)]
struct Bare;

#[rule(query = metric > 5, per = Stream)]
impl Rule for Bare {
    type Params = ();

    fn first_seen(_: &Event, _: &()) -> Self {
        Bare
    }

    fn on_event(&mut self, _: &Event, _: &(), _: &mut Out) {}
}

#[derive(Serialize, Deserialize)]
struct Number;

#[rule(query = 5, per = Stream)]
impl Rule for Number {
    type Params = ();

    fn first_seen(_: &Event, _: &()) -> Self {
        Number
    }

    fn on_event(&mut self, _: &Event, _: &(), _: &mut Out) {}
}

fn main() {}
