use tidegate_sdk::prelude::*;

#[derive(Serialize, Deserialize)]
struct Empty;

#[rule(query = "true", per = Attribute(""))]
impl Rule for Empty {
    type Params = ();

    fn first_seen(_: &Event, _: &()) -> Self {
        Empty
    }

    fn on_event(&mut self, _: &Event, _: &(), _: &mut Out) {}
}

#[derive(Serialize, Deserialize)]
struct Bare;

#[rule(query = "true", per = Attribute(rack))]
impl Rule for Bare {
    type Params = ();

    fn first_seen(_: &Event, _: &()) -> Self {
        Bare
    }

    fn on_event(&mut self, _: &Event, _: &(), _: &mut Out) {}
}

#[derive(Serialize, Deserialize)]
struct Alone;

#[rule(query = "true", per = Attribute)]
impl Rule for Alone {
    type Params = ();

    fn first_seen(_: &Event, _: &()) -> Self {
        Alone
    }

    fn on_event(&mut self, _: &Event, _: &(), _: &mut Out) {}
}

#[derive(Serialize, Deserialize)]
struct Two;

#[rule(query = "true", per = Attribute("rack", "dc"))]
impl Rule for Two {
    type Params = ();

    fn first_seen(_: &Event, _: &()) -> Self {
        Two
    }

    fn on_event(&mut self, _: &Event, _: &(), _: &mut Out) {}
}

fn main() {}
