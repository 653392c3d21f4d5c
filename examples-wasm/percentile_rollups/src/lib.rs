//! For each tenant the p50, p95 and p99 of a latency, every five minutes and every hour.
//!
//! The hour is made of the five-minute sketches: merging loses nothing, so each value is looked at once. Give the events a
//! ttl as long as the long window, so that a tenant who pauses is not forgotten in between.

use tidegate_sdk::prelude::*;

#[derive(Params)]
pub struct Settings {
    /// How long a short window is.
    #[param(default = "5m")]
    short: Span,
    /// How long a long window is: some whole number of short ones.
    #[param(default = "1h")]
    long: Span,
    /// How late values may come.
    #[param(default = "5s")]
    grace: Span,
    /// Receives the percentiles.
    board: Output,
}

/// What we remember about one tenant.
#[derive(Serialize, Deserialize)]
pub struct PercentileRollups {
    short: Tumbling<Quantiles>,
    long: Tumbling<Quantiles>,
    tenant: String,
}

impl PercentileRollups {
    fn tell(&self, window: &Quantiles, length: Span, settings: &Settings, out: &mut Out) {
        for (name, part) in [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)] {
            out.to(settings.board)
                .service(&format!("latency {name} {length}"))
                .metric(window.quantile(part))
                .attribute("tenant", &self.tenant)
                .describe(format_args!("of {} values", window.count()))
                .send();
        }
    }
}

#[rule(
    query = r#"service =~ "http.%" and tenant != nil and metric != nil and state != "expired""#,
    per = Attribute("tenant"),
    reads(metric, time, attributes)
)]
impl Rule for PercentileRollups {
    type Params = Settings;

    fn first_seen(event: &Event, settings: &Settings) -> Self {
        Self {
            short: Tumbling::every(settings.short).grace(settings.grace),
            long: Tumbling::every(settings.long).grace(settings.grace),
            tenant: event.attribute("tenant").unwrap_or_default().to_owned(),
        }
    }

    fn on_event(&mut self, event: &Event, _: &Settings, out: &mut Out) {
        if let Some(ms) = event.metric() {
            out.wake_at(self.short.add(event.time(), ms));
        }
    }

    fn on_wake(&mut self, settings: &Settings, out: &mut Out) {
        while let Some(short) = self.short.close(out.time()) {
            self.tell(&short, self.short.length(), settings, out);
            let start = self.short.closed() - self.short.length();
            out.wake_at(self.long.add(start, &short));
        }
        // The last short window of a long one closes at the same moment, so it is in by now.
        while let Some(long) = self.long.close(out.time()) {
            self.tell(&long, self.long.length(), settings, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_testkit::{Scene, expect};

    #[test]
    fn each_tenant_has_its_own_and_the_long_window_holds_the_short_ones() {
        Scene::<PercentileRollups>::with("short = 10s, long = 20s, grace = 0s, board = 'board'")
            .play(
                "
                at   host  service   metric  tenant
                1s   web1  http.get     100  acme
                2s   web2  http.get     300  acme
                3s   web1  http.get      50  zeta
                12s  web1  http.get     200  acme
                30s  -
                ",
            )
            .leaves(expect![[r#"
                10s  board  latency p50 10s                 100  of 2 values  tenant=acme
                10s  board  latency p95 10s                 300  of 2 values  tenant=acme
                10s  board  latency p99 10s                 300  of 2 values  tenant=acme
                10s  board  latency p50 10s                  50  of 1 values  tenant=zeta
                10s  board  latency p95 10s                  50  of 1 values  tenant=zeta
                10s  board  latency p99 10s                  50  of 1 values  tenant=zeta
                20s  board  latency p50 10s                 200  of 1 values  tenant=acme
                20s  board  latency p95 10s                 200  of 1 values  tenant=acme
                20s  board  latency p99 10s                 200  of 1 values  tenant=acme
                20s  board  latency p50 20s  203.92156862745097  of 3 values  tenant=acme
                20s  board  latency p95 20s                 300  of 3 values  tenant=acme
                20s  board  latency p99 20s                 300  of 3 values  tenant=acme
                20s  board  latency p50 20s                  50  of 1 values  tenant=zeta
                20s  board  latency p95 20s                  50  of 1 values  tenant=zeta
                20s  board  latency p99 20s                  50  of 1 values  tenant=zeta
            "#]]);
    }

    #[test]
    fn windows_that_are_open_when_the_settings_change_keep_their_length() {
        let with = |short: &str| {
            let settings = format!("short = {short}, long = 20s, grace = 0s, board = 'board'");
            Scene::<PercentileRollups>::with(&settings)
        };
        with("10s")
            .play("at host service metric tenant\n21s web1 http.get 100 acme")
            .swap_for(with("15s"))
            .play("at host service metric tenant\n50s -")
            .leaves(expect![[r#"
                30s  board  latency p50 10s  100  of 1 values  tenant=acme
                30s  board  latency p95 10s  100  of 1 values  tenant=acme
                30s  board  latency p99 10s  100  of 1 values  tenant=acme
                40s  board  latency p50 20s  100  of 1 values  tenant=acme
                40s  board  latency p95 20s  100  of 1 values  tenant=acme
                40s  board  latency p99 20s  100  of 1 values  tenant=acme
            "#]]);
    }
}
