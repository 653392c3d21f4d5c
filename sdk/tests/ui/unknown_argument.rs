use tidegate_sdk::prelude::*;

#[derive(Serialize, Deserialize)]
struct Window;

#[rule(query = "true", per = Stream, window = "5s")]
impl Rule for Window {
    type Params = ();

    fn first_seen(_: &Event, _: &()) -> Self {
        Window
    }

    fn on_event(&mut self, _: &Event, _: &(), _: &mut Out) {}
}

#[derive(Serialize, Deserialize)]
struct Misspelt;

#[rule(querry = "true", per = Stream)]
impl Rule for Misspelt {
    type Params = ();

    fn first_seen(_: &Event, _: &()) -> Self {
        Misspelt
    }

    fn on_event(&mut self, _: &Event, _: &(), _: &mut Out) {}
}

#[derive(Serialize, Deserialize)]
struct Read;

#[rule(query = "true", per = Stream, read(metric))]
impl Rule for Read {
    type Params = ();

    fn first_seen(_: &Event, _: &()) -> Self {
        Read
    }

    fn on_event(&mut self, _: &Event, _: &(), _: &mut Out) {}
}

fn main() {}
