// The rules that the simulated node runs, and what is done to them.

import { manifestOf } from "./module.mjs";

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

const iso = (at) => new Date(at).toISOString();

/** Digests look like digests. */
export const digest = (text) => {
  let state = 2_166_136_261;
  const letters = Array.from({ length: 64 }, (_, n) => {
    state = Math.imul(state ^ text.charCodeAt(n % text.length) ^ n, 16_777_619) >>> 0;
    return (state & 15).toString(16);
  });
  return letters.join("");
};

/** What is deployed, and how much of the events each rule sees. */
function begin(world) {
  const fault = faultOf(world);
  const hour = 3_600_000;
  const rule = (name, version, generation, query, per, share, ns, more = {}) => ({
    name,
    version,
    generation,
    query,
    per,
    share,
    ns,
    module: digest(`${name} ${version}`),
    set: {},
    outputs: { board: "live" },
    status: "running",
    memory: 1_310_720,
    emitted: 0,
    faults: 0,
    last_fault: null,
    quarantined_until: null,
    by: "eve@box",
    since: iso(world.started - 5 * hour),
    trial: null,
    past: [],
    ...more,
  });
  const earlier = (generation, version, hours, lasted, how, reason = null) => ({
    generation,
    module: digest(`latency_state ${version}`),
    version,
    query: 'service =~ "api latency%"',
    by: generation % 2 === 0 ? "eve@box" : "ci",
    position: 1_000 * generation,
    since: iso(world.started - hours * hour),
    ended_position: 1_000 * generation + 900,
    ended: iso(world.started - (hours - lasted) * hour),
    how,
    reason,
  });
  const named = [
    rule("cpu_top", "0.3.1", 2, 'service = "cpu"', "whole", 0.12, 41),
    rule("latency_state", "1.4.0", 7, 'service =~ "api latency%"', "stream", 0.2, 84, {
      set: { limit_ms: "250", every: "5s" },
      outputs: { board: "live", pager: "pager" },
      emitted: 912,
      past: [
        earlier(4, "1.2.0", 90, 60, "replaced"),
        earlier(5, "1.3.0", 30, 24, "rolled back", "too loud at night"),
        earlier(6, "1.2.0", 6, 1, "replaced"),
      ],
      trial: {
        generation: 8,
        module: digest("latency_state 1.5.0"),
        version: "1.5.0",
        percent: 5,
        status: "running",
        by: "ci",
        since: iso(world.started - 240_000),
        promoted_at: iso(world.started + 360_000),
        events: 84_120,
        faults: 0,
        same: 412,
        only_new: 9,
        only_old: 3,
      },
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
        quarantined_until: iso(world.started + 600_000),
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
  ].slice(0, world.options.empty ? 0 : world.options.rules);
  // More than a few are copies of a small one: there may be thousands.
  const many = world.options.empty ? 0 : Math.max(0, world.options.rules - 4);
  for (let n = 0; n < many; n++) {
    const name = `customer-${String(n).padStart(5, "0")}`;
    named.push(
      rule(name, "1.0.0", 1, `tagged "customer-${n}"`, "stream", 0.002 / (1 + (n % 7)), 96, {
        memory: 66_560,
        outputs:
          n % 5 === 0 ? { board: "live", pager: "pager" } : { board: n % 3 === 0 ? "graphite" : "live" },
      }),
    );
  }
  return new Map(named.map((one) => [one.name, one]));
}

const deployed = (world) => {
  world.deployed ??= begin(world);
  return world.deployed;
};

function shown(world, { share, ns, past, ...rule }) {
  const age = (Date.now() - world.started) / 1000;
  const runs = rule.status === "running";
  // Rules do not move in step with each other.
  const wave =
    1 + 0.2 * Math.sin(age / 3 + rule.name.length) + 0.1 * Math.sin(age * 1.7 + 3 * rule.name.length);
  const rate = runs ? Math.round(world.perSecond * share * wave) : 0;
  return {
    ...rule,
    events: Math.round(world.total * share),
    events_per_second: rate,
    ns_per_event: ns + 3 * Math.sin(age / 5),
    cpu: rate * ns * 1e-9,
    keys: rule.per === "whole" ? 1 : Math.ceil(world.index.size * Math.min(1, share)),
    forwarded: Math.round(age * (1 + share * 10)),
  };
}

/** All rules, as they run. */
export const rules = (world) => [...deployed(world).values()].map((rule) => shown(world, rule));

export function one(world, name) {
  const rule = deployed(world).get(name);
  return rule === undefined ? null : shown(world, rule);
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

const OUTPUTS = ["live", "graphite", "pager"];

/** Why a deployment is refused, in the words of the node; null when it is not. */
function wrong(manifest, query) {
  for (const { name, type, doc, required, default: usual } of manifest.parameters) {
    const value = query.get(`set.${name}`) ?? usual;
    if (value === null) {
      if (required) return `parameter ${name} (${type}) is missing: ${doc}`;
      continue;
    }
    const fits =
      type === "number" || type === "integer"
        ? value.trim() !== "" && !Number.isNaN(Number(value))
        : type === "span"
          ? /^\d+(\.\d+)?(ms|s|m|h|d)$/u.test(value)
          : true;
    if (!fits)
      return `parameter ${name}: a ${type} was expected, found ${JSON.stringify(value)}. ${doc}${type === "span" ? " (like 90s, 5m or 250ms)" : ""}`;
  }
  for (const [name, output] of query) {
    if (name.startsWith("to.") && !OUTPUTS.includes(output))
      return `--to ${name.slice(3)}=${output}: there is no output ${JSON.stringify(output)}; there are ${OUTPUTS.join(", ")}`;
  }
  const canary = query.get("canary");
  if (canary !== null && !(Number(canary) > 0 && Number(canary) <= 100))
    return `parameter \`canary\`: a percentage was expected, found \`${canary}\``;
  return null;
}

const prefixed = (query, prefix) =>
  Object.fromEntries(
    [...query]
      .filter(([name]) => name.startsWith(prefix))
      .map(([name, value]) => [name.slice(prefix.length), value]),
  );

/** `PUT rules/:name` */
export function deploy({ world, params, query, bytes, by, json, refuse, request }) {
  const { name } = params;
  if (!/^[a-z0-9._-]{1,64}$/u.test(name))
    return refuse(
      422,
      `a rule's name is 1 to 64 of a-z, 0-9, '.', '_' and '-', found ${JSON.stringify(name)}`,
    );
  const known = deployed(world).get(name);
  if (bytes.length === 0 && known?.module === query.get("module")) {
    // The module that runs, with other settings.
    const generation = known.generation + 1;
    put(world, known, {
      ...known,
      generation,
      by,
      query: query.get("query") ?? known.query,
      set: prefixed(query, "set."),
      outputs: prefixed(query, "to."),
    });
    const { module, version } = known;
    return json(200, {
      name,
      generation,
      position: world.position,
      module,
      version,
      bytes: 83_945,
      millis: 9,
      shards: 2,
    });
  }
  const manifest = manifestOf(bytes);
  if (manifest === null) return refuse(422, "the module has no manifest: it was not built with the SDK");
  const problem = wrong(manifest, query);
  if (problem !== null) return refuse(422, problem);
  const before = deployed(world).get(name);
  const expected = request.headers["if-match"];
  if (expected !== undefined && expected !== `"${before?.generation ?? 0}"`)
    return refuse(
      412,
      `generation ${expected} of rule ${name} was expected, and ${before?.generation ?? 0} is in force`,
    );
  if (before?.trial != null)
    return refuse(409, `something is tried beside ${name}: promote it or give it up first`);
  const generation =
    1 + Math.max(before?.generation ?? 0, ...(before?.past ?? []).map((past) => past.generation));
  const done = {
    name,
    generation,
    position: query.has("dry_run") ? 0 : world.position,
    module: manifest.module,
    version: manifest.version,
    bytes: bytes.length,
    millis: 41,
    shards: 2,
  };
  if (query.has("dry_run")) return json(200, done);
  const tried = query.has("shadow") || query.has("canary");
  if (tried) {
    before.trial = {
      generation,
      module: manifest.module,
      version: manifest.version,
      percent: Number(query.get("canary") ?? 0),
      status: "running",
      by,
      since: iso(Date.now()),
      promoted_at: query.has("canary") ? iso(Date.now() + 600_000) : null,
      events: 0,
      faults: 0,
      same: 0,
      only_new: 0,
      only_old: 0,
    };
    return json(200, done);
  }
  put(world, before, {
    name,
    version: manifest.version,
    generation,
    query: query.get("query") ?? manifest.query,
    per: query.get("per") ?? manifest.per,
    share: before?.share ?? 0.05,
    ns: before?.ns ?? 70,
    module: manifest.module,
    set: {
      ...Object.fromEntries(
        manifest.parameters.flatMap((one) => (one.default === null ? [] : [[one.name, one.default]])),
      ),
      ...prefixed(query, "set."),
    },
    outputs: {
      ...Object.fromEntries(manifest.outputs.map((one) => [one.name, "live"])),
      ...prefixed(query, "to."),
    },
    by,
  });
  return json(200, done);
}

/** Puts a rule into force instead of the one before it. */
function put(world, before, rule, how = "replaced", reason = null) {
  const past = before?.past ?? [];
  if (before !== undefined)
    past.push({
      generation: before.generation,
      module: before.module,
      version: before.version,
      query: before.query,
      by: before.by,
      position: 1_000 * before.generation,
      since: before.since,
      ended_position: world.position,
      ended: iso(Date.now()),
      how,
      reason,
    });
  deployed(world).set(rule.name, {
    status: "running",
    memory: 1_310_720,
    emitted: 0,
    faults: 0,
    last_fault: null,
    quarantined_until: null,
    trial: null,
    ...rule,
    since: iso(Date.now()),
    past: past.slice(-10),
  });
}

/** `POST rules/:name/…`, and `DELETE rules/:name` */
export function change(what) {
  return ({ world, params, query, by, json, refuse, request }) => {
    const rule = deployed(world).get(params.name);
    if (rule === undefined) return refuse(404, `there is no rule \`${params.name}\`: see /api/v1/rules`);
    const expected = request.headers["if-match"];
    if (expected !== undefined && expected !== `"${rule.generation}"`)
      return refuse(
        412,
        `generation ${expected} of rule ${rule.name} was expected, and ${rule.generation} is in force`,
      );
    const { name, past, trial } = rule;
    const position = world.position;
    if (what === "remove") {
      deployed(world).delete(name);
      return json(200, { name, position });
    }
    if (what === "pause" || what === "resume") {
      rule.status = what === "pause" ? "paused" : "running";
      return json(200, { name, paused: what === "pause", position });
    }
    if (what === "rollback") {
      const to = query.get("to");
      const wanted =
        to === null
          ? past.findLast((one) => one.how === "replaced")
          : past.find((one) => String(one.generation) === to);
      if (wanted === undefined)
        return refuse(
          404,
          `rule ${name} has no earlier generation ${to}; kept are ${past.map((one) => one.generation).join(", ")}`,
        );
      const generation = rule.generation + 1;
      put(
        world,
        rule,
        { ...rule, ...wanted, generation, by, trial: null },
        "rolled back",
        query.get("reason"),
      );
      return json(200, {
        name,
        generation,
        position,
        module: wanted.module,
        version: wanted.version,
        bytes: 83_945,
        millis: 12,
        shards: 2,
      });
    }
    if (trial === null) return refuse(409, `nothing is tried beside ${name}`);
    rule.trial = null;
    if (what === "promote") put(world, rule, { ...rule, ...trial, trial: null, by });
    return json(200, { name, promoted: what === "promote", position });
  };
}

/** `GET rules/:name/history` */
export function history(world, name) {
  const rule = deployed(world).get(name);
  if (rule === undefined) return null;
  const events =
    rule.trial === null
      ? []
      : [...world.index.values()].filter(({ state }) => state === "critical").slice(0, 6);
  return {
    name,
    history: rule.past,
    differences: events.map((event, n) => ({
      position: world.position - 40 + n,
      candidate: n % 3 !== 2,
      action: n % 2 === 0 ? "forward pager" : "forward board",
      event,
    })),
  };
}

/** `POST modules/inspect` */
export function inspect(world, bytes, name) {
  const manifest = manifestOf(bytes);
  if (manifest === null) return null;
  const rule = deployed(world).get(name ?? manifest.name.replaceAll("_", "-"));
  if (rule === undefined) return { ...manifest, running: null };
  const changes = [
    ["version", rule.version, manifest.version],
    ["query", rule.query, manifest.query],
    ["per", rule.per, manifest.per],
    ["module", rule.module, manifest.module],
  ]
    .filter(([, from, to]) => from !== to)
    .map(([what, from, to]) => ({ what, from, to }));
  const { generation, version, set, outputs } = rule;
  return { ...manifest, running: { generation, version, changes, set, outputs } };
}
