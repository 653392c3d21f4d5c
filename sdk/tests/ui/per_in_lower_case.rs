use tidegate_sdk::prelude::*;

#[derive(Serialize, Deserialize)]
struct Lower;

#[rule(query = "true", per = stream)]
impl Rule for Lower {
    type Params = ();

    fn first_seen(_: &Event, _: &()) -> Self {
        Lower
    }

    fn on_event(&mut self, _: &Event, _: &(), _: &mut Out) {}
}

#[derive(Serialize, Deserialize)]
struct Near;

#[rule(query = "true", per = Hosts)]
impl Rule for Near {
    type Params = ();

    fn first_seen(_: &Event, _: &()) -> Self {
        Near
    }

    fn on_event(&mut self, _: &Event, _: &(), _: &mut Out) {}
}

#[derive(Serialize, Deserialize)]
struct Text;

#[rule(query = "true", per = "Stream")]
impl Rule for Text {
    type Params = ();

    fn first_seen(_: &Event, _: &()) -> Self {
        Text
    }

    fn on_event(&mut self, _: &Event, _: &(), _: &mut Out) {}
}

#[derive(Serialize, Deserialize)]
struct Forgotten;

#[rule(query = "true")]
impl Rule for Forgotten {
    type Params = ();

    fn first_seen(_: &Event, _: &()) -> Self {
        Forgotten
    }

    fn on_event(&mut self, _: &Event, _: &(), _: &mut Out) {}
}

fn main() {}
