//! What each type makes of an event, from its section of the configuration to what it would send.

use std::sync::Arc;
use tidegate::config::{self, Environment, Source};
use tidegate::output::{Delivery, Place, SendError, Verdict, Which};
use tidegate_event::{BatchBuilder, Metric, NewEvent, Timestamp};

fn forwarded(event: &NewEvent<'_>) -> Arc<Delivery> {
    let mut builder = BatchBuilder::new();
    builder.push(event);
    Arc::new(Delivery {
        rule: "slow".into(),
        declared: "out".into(),
        position: 7,
        n: 0,
        batch: builder.finish(),
    })
}

fn event<'a>() -> NewEvent<'a> {
    NewEvent {
        time: Some(Timestamp(1_700_000_000_123_456)),
        host: Some("web1.example.com"),
        service: Some("api latency 0.95"),
        state: Some("ok"),
        metric: Some(Metric::Float(0.25)),
        tags: &["prod", "rack=r 7"],
        attributes: &[("dc", "eu,1")],
        ..NewEvent::default()
    }
}

async fn preview(section: &str, event: &NewEvent<'_>) -> Result<String, SendError> {
    let source = Source { path: None, text: format!("[outputs.out]\n{section}") };
    let config = config::parse(source, &Environment::new()).unwrap_or_else(|error| panic!("{error}"));
    let output = &config.outputs[0];
    let outcome = output.kind.try_out(&Place::alone("out", 100), true, &[forwarded(event)]).await.unwrap();
    outcome.map(|text| text.expect("a preview is a text"))
}

async fn shows(section: &str, expected: &str) {
    assert_eq!(preview(section, &event()).await.unwrap(), expected, "{section}");
}

#[tokio::test]
async fn graphite_has_paths_templates_and_tags() {
    let at = "type = \"graphite\"\naddress = \"x:1\"\n";
    shows(at, "com.example.web1.api.latency.95 0.25 1700000000\n").await;
    shows(&format!("{at}prefix = \"tg.\""), "tg.com.example.web1.api.latency.95 0.25 1700000000\n").await;
    shows(
        &format!("{at}path = \"{{{{ service }}}}.{{{{ attributes.dc }}}}\""),
        "api_latency_0.95.eu,1 0.25 1700000000\n",
    )
    .await;
    shows(
        &format!("{at}tags = [\"host\", \"tags\", \"none\"]\nfixed = {{ env = \"a;b\" }}"),
        "api.latency.95;env=a_b;host=web1.example.com;rack=r_7;tags=prod 0.25 1700000000\n",
    )
    .await;
}

#[tokio::test]
async fn influxdb_has_points_whose_time_is_the_events_own() {
    let one = "type = \"influxdb\"\nurl = \"http://x\"\ndatabase = \"d b\"\n";
    let head = "POST http://x/write?db=d+b&precision=u\n\n";
    let point = "api\\ latency\\ 0.95,host=web1.example.com value=0.25 1700000000123456\n";
    shows(one, &format!("{head}{point}")).await;
    let two = "type = \"influxdb\"\nurl = \"https://x/in/\"\norg = \"o\"\nbucket = \"b\"\ntoken = \"h1dden\"\nprecision = \"ms\"\n\
               measurement = \"tide\"\ntags = [\"dc\", \"service\"]\nfields = [\"state\", \"dc\"]\n";
    shows(
        two,
        "POST https://x/***/api/v2/write?org=o&bucket=b&precision=ms\nauthorization: ***\n\n\
         tide,dc=eu\\,1,service=api\\ latency\\ 0.95 value=0.25,state=\"ok\",dc=\"eu,1\" 1700000000123\n",
    )
    .await;
    let nasty = NewEvent {
        service: Some("a\\,b=c\\"),
        host: Some("x\ny\\"),
        state: Some("say \"hi\" \\"),
        metric: Some(Metric::Int(-3)),
        ..event()
    };
    let section = format!("{one}fields = [\"state\"]\nintegers = true\nprecision = \"s\"");
    let text = preview(&section, &nasty).await.unwrap();
    let point = text.split("\n\n").nth(1).unwrap();
    assert_eq!(point, "a_\\,b=c_,host=x_y_ value=-3i,state=\"say \\\"hi\\\" \\\\\" 1700000000\n");
    // Without a metric there is still a point where there is a field.
    let text = preview(&section, &NewEvent { metric: None, ..event() }).await.unwrap();
    assert!(text.contains("com state=\"ok\" 1700000000"), "{text}");
}

#[tokio::test]
async fn opentsdb_has_json_and_lines() {
    shows(
        "type = \"opentsdb\"\nurl = \"http://x\"\ntags = [\"host\", \"dc\"]",
        "POST http://x/api/put?details=true\n\n[{\"metric\":\"api_latency_0.95\",\"timestamp\":1700000000123,\"value\":0.25,\
         \"tags\":{\"dc\":\"eu_1\",\"host\":\"web1.example.com\"}}]",
    )
    .await;
    shows(
        "type = \"opentsdb\"\naddress = \"x:1\"\nprecision = \"s\"\nmetric = \"tide.{{ state }}\"",
        "put tide.ok 1700000000 0.25 host=web1.example.com\n",
    )
    .await;
}

#[tokio::test]
async fn statsd_has_a_type_for_each_kind_and_sets_a_gauge_below_zero_in_two_steps() {
    let at = "type = \"statsd\"\naddress = \"x:1\"\n";
    shows(at, "com.example.web1.api.latency.95:0.25|g\n").await;
    shows(
        &format!("{at}kind = \"timer\"\nprefix = \"a.\"\ntags = [\"dc\"]"),
        "a.com.example.web1.api.latency.95:0.25|ms|#dc:eu_1\n",
    )
    .await;
    let below = NewEvent { metric: Some(Metric::Int(-3)), ..event() };
    let name = format!("{at}name = \"{{{{ host }}}}:x\"");
    assert_eq!(preview(&name, &below).await.unwrap(), "web1.example.com_x:0|g\nweb1.example.com_x:-3|g\n");
}

#[tokio::test]
async fn prometheus_has_names_and_labels_by_its_rules() {
    let series = "api_latency_0_95{host=\"web1.example.com\"} 0.25\n";
    let text = preview("type = \"prometheus\"", &event()).await.unwrap();
    assert!(text.ends_with(series) && text.starts_with("# HELP api_latency_0_95 "), "{text}");
    let labels = "type = \"prometheus\"\nprefix = \"tide_\"\nlabels = [\"tags\", \"dc\"]\nfixed = { \"e-n-v\" = \"x\" }";
    let text = preview(labels, &event()).await.unwrap();
    let series = "tide_api_latency_0_95{dc=\"eu,1\",e_n_v=\"x\",rack=\"r 7\",tags=\"prod\"} 0.25\n";
    assert!(text.ends_with(series), "{text}");
    shows(
        "type = \"prometheus-remote-write\"\nurl = \"http://x/api/v1/write\"",
        "POST http://x/***\n\n{__name__=\"api_latency_0_95\",host=\"web1.example.com\"} 0.25 1700000000123\n",
    )
    .await;
    let expired = NewEvent { state: Some("expired"), metric: None, ..event() };
    let text = preview("type = \"prometheus-remote-write\"\nurl = \"http://x\"", &expired).await.unwrap();
    assert!(text.ends_with(" stale 1700000000123\n"), "{text}");
}

#[tokio::test]
async fn files_and_the_console_take_templates() {
    let template = "template = \"{{ host }} is {{ state }}: {{ attributes.dc }}\"";
    for section in
        [format!("type = \"console\"\n{template}"), format!("type = \"file\"\npath = \"x\"\n{template}")]
    {
        shows(&section, "web1.example.com is ok: eu,1\n").await;
    }
    let evil = NewEvent { host: Some("\x1b[2J"), ..event() };
    let section = format!("type = \"console\"\n{template}");
    assert_eq!(preview(&section, &evil).await.unwrap(), "\\u{1b}[2J is ok: eu,1\n");
}

#[tokio::test]
async fn an_event_that_a_type_cannot_say_is_refused_alone() {
    for section in [
        "type = \"graphite\"\naddress = \"x:1\"",
        "type = \"influxdb\"\nurl = \"http://x\"\ndatabase = \"d\"",
        "type = \"opentsdb\"\nurl = \"http://x\"",
        "type = \"statsd\"\naddress = \"x:1\"",
        "type = \"prometheus\"",
        "type = \"prometheus-remote-write\"\nurl = \"http://x\"",
        "type = \"file\"\npath = \"x\"\ntemplate = \"{{ attributes.missing }}\"",
    ] {
        let error = preview(section, &NewEvent { metric: None, ..event() }).await.unwrap_err();
        assert_eq!((error.verdict, error.delivered), (Verdict::Refused(Which::First), 0), "{section}");
    }
}
