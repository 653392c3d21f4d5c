// The rules that the simulated node runs.

const faultOf = (world) => ({
  kind: "panic",
  message: "panicked at src/lib.rs:87:34:\nindex out of bounds: the len is 64 but the index is 64",
  during: "on_event",
  at: new Date(world.started - 42_000).toISOString(),
  event: {
    host: "edge-03.fra1.example.net",
    service: "api latency p99",
    state: "ok",
    metric: 9.1e15,
    time: new Date(world.started - 42_000).toISOString(),
  },
});

/** All rules, as they run. */
export function rules(world) {
  const fault = faultOf(world);
  const age = (Date.now() - world.started) / 1000;
  const rule = (name, version, generation, query, per, share, ns, more = {}) => ({
    name,
    generation,
    module: `b3a1f0c7e2${name.length}d94e6b85027af1c3398d5e2b7746ac0918ffde31${generation}a5c60b2e7d`.slice(
      0,
      64,
    ),
    version,
    query,
    per,
    set: {},
    outputs: { board: "live" },
    status: "running",
    events: Math.round(world.total * share),
    events_per_second: Math.round(world.perSecond * share),
    ns_per_event: ns + 3 * Math.sin(age / 5),
    cpu: world.perSecond * share * ns * 1e-9,
    memory: 1_310_720,
    keys: Math.round(world.index.size * share),
    emitted: 0,
    forwarded: Math.round(age),
    faults: 0,
    last_fault: null,
    quarantined_until: null,
    ...more,
  });
  // More than a few are copies of a small one: there may be thousands.
  const many = Math.max(0, world.options.rules - 4);
  const more = Array.from({ length: world.options.empty ? 0 : many }, (_, n) =>
    rule(`customer-${String(n).padStart(5, "0")}`, "1.0.0", 1, `tagged "customer-${n}"`, "stream", 1e-5, 96, {
      memory: 66_560,
    }),
  );
  return [
    rule("cpu_top", "0.3.1", 2, 'service = "cpu"', "whole", 0.12, 41),
    rule("latency_state", "1.4.0", 7, 'service =~ "api latency%"', "stream", 0.2, 84, {
      set: { limit_ms: 250, window_s: 5 },
      outputs: { board: "live", pager: "pager" },
      emitted: 912,
    }),
    rule(
      "queue_stall",
      "0.1.0",
      1,
      'service = "queue depth" or service = "oldest message age"',
      "host",
      0.03,
      212,
      {
        status: "quarantined",
        faults: 5,
        last_fault: fault,
        quarantined_until: new Date(world.started + 600_000).toISOString(),
        events_per_second: 0,
      },
    ),
    rule("silence", "2.0.0", 3, "true", "stream", 1, 23, {
      memory: 5_242_880,
      faults: 1,
      last_fault: {
        ...fault,
        kind: "deadline",
        message: "the call took longer than 20 ms and was stopped",
        event: 'host=db-02.fra1.example.net service="replication lag" metric=0.4',
      },
    }),
  ]
    .slice(0, world.options.empty ? 0 : world.options.rules)
    .concat(more);
}

/** As the server ranks them: in trouble first, then by time. */
export function ranked(world, find = "", limit = 100) {
  const all = rules(world);
  const found = all.filter(({ name }) => name.includes(find.toLowerCase()));
  const trouble = ({ status }) => (status === "quarantined" ? 0 : 1);
  found.sort((one, other) => trouble(one) - trouble(other) || other.cpu - one.cpu);
  const count = (status) => all.filter((rule) => rule.status === status).length;
  return {
    rules: found.slice(0, limit),
    total: all.length,
    found: found.length,
    quarantined: count("quarantined"),
    paused: count("paused"),
    next: null,
  };
}

/** What rules made of the news. */
export function said(news) {
  const worse = news.filter((event) => event.state !== "ok" && event.state !== "deploying");
  return worse.slice(0, 2).map((event) => ({
    rule: event.service?.includes("latency") ? "latency_state" : "silence",
    output: "board",
    event: {
      ...event,
      service: `${event.service} ${event.state === "expired" ? "silent" : "limit"}`,
      tags: null,
    },
  }));
}
