use tidegate_sdk::prelude::*;

#[derive(Serialize, Deserialize)]
struct Text;

#[rule(query = "true", per = Stream, state_schema = "2")]
impl Rule for Text {
    type Params = ();

    fn first_seen(_: &Event, _: &()) -> Self {
        Text
    }

    fn on_event(&mut self, _: &Event, _: &(), _: &mut Out) {}
}

#[derive(Serialize, Deserialize)]
struct Zero;

#[rule(query = "true", per = Stream, state_schema = 0)]
impl Rule for Zero {
    type Params = ();

    fn first_seen(_: &Event, _: &()) -> Self {
        Zero
    }

    fn on_event(&mut self, _: &Event, _: &(), _: &mut Out) {}
}

fn main() {}
