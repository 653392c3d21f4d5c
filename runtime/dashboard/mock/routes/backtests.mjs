// Rules that are tried on the past of the simulated node: the critical stretches of its streams' courses.

import { manifestOf } from "../module.mjs";
import { digest, rules } from "../rules.mjs";
import { courseOf, moment } from "./history.mjs";

const iso = (at) => new Date(at).toISOString();

/** How long one takes, in milliseconds. */
const TAKES = 2_500;

/** Streams that are looked at. */
const STREAMS = 9;

const kept = (world) => {
  world.backtests ??= { tests: new Map(), modules: new Map(), number: 0 };
  return world.backtests;
};

/** When the metric stood above a share of its greatest. */
function stretches(world, { host, service }, from, to, share) {
  const { points } = courseOf(world, host, service, from, to, 400);
  const limit = share * Math.max(...points.map(([, , most]) => most));
  const found = [];
  let begun = null;
  for (const [at, , , last] of points) {
    if (last > limit && begun === null) begun = at;
    if (last <= limit && begun !== null) {
      found.push([begun, at]);
      begun = null;
    }
  }
  if (begun !== null) found.push([begun, null]);
  return found;
}

function outcome(_world, name, version, query, set, intervals, faults) {
  const standing = intervals.filter(({ until }) => until === null).length;
  return {
    name,
    version,
    module: digest(`${name} ${version}`),
    query,
    per: "stream",
    set,
    wanted: 184_220,
    keys: { last: 58, most: 58, over: 0 },
    effects: { stream: 912, outputs: { board: 2_310, pager: 2 * intervals.length }, log: 4, cut: {} },
    fired: { count: intervals.length, standing, untracked: 0, intervals },
    faults: {
      count: faults,
      skipped: faults,
      first: Array.from({ length: faults }, (_, n) => ({
        at: iso(Date.now() - 900_000 - 60_000 * n),
        kind: "panic",
        message: "panicked at src/lib.rs:87:34:\nindex out of bounds: the len is 64 but the index is 64",
        during: "in on_event",
        event: { host: "edge-03.fra1.example.net", service: "api latency p99", metric: 9.1e15 },
        quarantined_until: null,
      })),
    },
    instructions: { per_event: 412 + faults },
  };
}

function report(world, asked) {
  const from = moment(asked.from ?? "-1h", Date.now());
  const to = moment(asked.to ?? null, Date.now());
  const streams = [...world.index.values()]
    .filter(({ service }) => service?.includes("latency"))
    .slice(0, STREAMS);
  const fired = (share) =>
    streams
      .flatMap((event) =>
        stretches(world, event, from, to, share).map(([begin, end]) => ({
          to: "pager",
          host: event.host,
          service: event.service,
          state: "critical",
          from: iso(begin),
          until: end === null ? null : iso(end),
        })),
      )
      .sort((a, b) => a.from.localeCompare(b.from));
  const running = rules(world).find(({ name }) => name === asked.rule);
  const manifest = kept(world).modules.get(asked.module);
  const name = running?.name ?? manifest?.name ?? "latency_state";
  const version = running?.version ?? manifest?.version ?? "1.5.0";
  const query = asked.query ?? running?.query ?? "true";
  const now = fired(0.84);
  const rule = outcome(
    world,
    name,
    version,
    query,
    asked.set ?? running?.set ?? {},
    now,
    asked.module === undefined ? 0 : 2,
  );
  const read = {
    kind: "log",
    from: iso(from),
    to: iso(to),
    batches: 3_600,
    events: 1_842_204,
    late: { events: 12 },
    own_left_out: 912,
    untimed: 0,
    missing: 0,
    damaged: 0,
    torn: 0,
  };
  if (!asked.against) return { schema: 1, read, rule, against: null, differences: null };
  const before = fired(0.78).filter((_, n) => n % 5 !== 0);
  const other = rules(world).find(({ name }) => name === asked.against.rule);
  const against = outcome(
    world,
    asked.against.rule ?? name,
    other?.version ?? "1.4.0",
    query,
    other?.set ?? {},
    before,
    0,
  );
  const about = ({ host, service }) => `${host}|${service}`;
  const overlaps = (a, b) =>
    about(a) === about(b) && a.from <= (b.until ?? iso(to)) && b.from <= (a.until ?? iso(to));
  const alone = (some, others) => some.filter((one) => !others.some((two) => overlaps(one, two)));
  const [fresh, gone] = [alone(now, before), alone(before, now)];
  const effect = (only) => (one) => ({
    only,
    at: one.from,
    to: "pager",
    event: { host: one.host, service: one.service, state: one.state, metric: 312.5, time: one.from },
  });
  return {
    schema: 1,
    read,
    rule,
    against,
    differences: {
      fired: { same: now.length - fresh.length, new: fresh, gone },
      effects: {
        same: 2_204,
        only_rule: 2 * fresh.length,
        only_against: 2 * gone.length,
        first: [...fresh.map(effect("rule")), ...gone.map(effect("against"))],
      },
    },
  };
}

function shown(world, test, whole) {
  const age = Date.now() - test.at;
  if (test.status === "running" && age > TAKES) {
    test.status = "done";
    test.report = report(world, test.asked);
  }
  const progress = test.status === "done" ? 1 : Math.min(1, age / TAKES);
  const { rule, module, set = {}, query = null, per = null, against = null } = test.asked;
  const told = {
    id: test.id,
    status: test.status,
    progress,
    error: null,
    by: "eve",
    at: iso(test.at),
    asked: {
      ...(rule === undefined ? { module } : { rule }),
      set,
      query,
      per,
      against,
      from: null,
      to: null,
      chart: null,
    },
  };
  return whole ? { ...told, report: test.report ?? null } : told;
}

const known = (handle) => (context) => {
  const test = kept(context.world).tests.get(context.params.id);
  if (test === undefined) context.refuse(404, `there is no backtest ${context.params.id}`);
  else handle({ ...context, test });
};

export const routes = [
  [
    "POST",
    "modules",
    ({ world, bytes, json, refuse }) => {
      const manifest = manifestOf(bytes);
      if (manifest === null) return refuse(422, "the module has no manifest: it was not built with the SDK");
      kept(world).modules.set(manifest.module, manifest);
      return json(200, { ...manifest, running: null });
    },
  ],
  [
    "POST",
    "backtests",
    ({ world, body, json, refuse }) => {
      const asked = body();
      if (Number.isNaN(moment(asked.from ?? null, 0)))
        return refuse(400, `\`from\`: -1h or 2026-01-31T08:00:00Z was expected, found \`${asked.from}\``);
      const id = `t${++kept(world).number}`;
      kept(world).tests.set(id, { id, at: Date.now(), status: "running", asked });
      return json(202, { id });
    },
  ],
  [
    "GET",
    "backtests",
    ({ world, json }) =>
      json(200, {
        backtests: [...kept(world).tests.values()].toReversed().map((test) => shown(world, test, false)),
      }),
  ],
  ["GET", "backtests/:id", known(({ world, test, json }) => json(200, shown(world, test, true)))],
  [
    "DELETE",
    "backtests/:id",
    known(({ test, json }) => {
      if (test.status === "running") test.status = "cancelled";
      json(200, { id: test.id });
    }),
  ],
];
