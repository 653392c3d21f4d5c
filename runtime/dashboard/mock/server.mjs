// The page without its server: serves dist and a simulated /api/v1.
//
//   node mock/server.mjs [--port 5560] [--hosts 40] [--rules 4] [--empty] [--hostile] [--seed 7]

import { createReadStream, existsSync } from "node:fs";
import { createServer } from "node:http";
import { dirname, extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Fleet } from "./fleet.mjs";
import { compile, Refused } from "./query.mjs";

const { values: options } = parseArgs({
  options: {
    port: { type: "string", default: "5560" },
    hosts: { type: "string", default: "40" },
    rules: { type: "string", default: "4" },
    seed: { type: "string", default: "7" },
    empty: { type: "boolean", default: false },
    hostile: { type: "boolean", default: false },
  },
});

const DIST = join(dirname(fileURLToPath(import.meta.url)), "..", "dist");
const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
  ".txt": "text/plain; charset=utf-8",
};
const POLICY = "default-src 'self'; style-src 'self' 'unsafe-inline'";
const FRAME = 200;

const fleet = new Fleet({
  hosts: options.empty ? 0 : Number(options.hosts),
  seed: Number(options.seed),
  hostile: options.hostile,
});
const started = Date.now();
const index = new Map();
const pages = new Set();
let total = options.empty ? 0 : 18_204_331;
let perSecond = 0;

const key = (event) => JSON.stringify([event.host, event.service]);

function take(news) {
  total += news.length;
  for (const event of news) {
    if (event.state === "expired") index.delete(key(event));
    else index.set(key(event), event);
  }
}

function overview() {
  const states = { ok: 0, warning: 0, critical: 0, unknown: 0, expired: 0, other: 0 };
  for (const { state } of index.values()) states[state in states ? state : "other"]++;
  const input = (name, kind, address, share, more = {}) => ({
    name,
    kind,
    address,
    received: Math.round(total * share),
    accepted: Math.round(total * share),
    rejected: 0,
    shed: 0,
    connections: 3,
    per_second: Math.round(perSecond * share),
    messages_per_second: Math.round((perSecond * share) / 50),
    bytes_per_second: Math.round(perSecond * share * 90),
    latency_ms: { p50: 0.21, p99: 1.84 },
    ...more,
  });
  const shard = (number) => ({
    number,
    events_per_second: Math.round(perSecond / 2),
    ns_per_event: 310 + 12 * number,
    busy: options.empty ? 0 : (perSecond / 2) * 320e-9,
    queued: number,
    streams: Math.round(index.size / 2),
    refused: 0,
    rule_memory: 3_932_160,
    rule_faults: options.empty ? 0 : 3 * number,
  });
  const output = (name, kind, status, more = {}) => ({
    name,
    kind,
    status,
    queued: 0,
    capacity: name === "live" ? 0 : 100_000,
    queued_bytes: 0,
    per_second: 0,
    delivered: 0,
    dropped: 0,
    failed: 0,
    last_error: null,
    ...more,
  });
  return {
    version: "0.1.0-mock",
    uptime_s: Math.round((Date.now() - started) / 1000),
    now: new Date().toISOString(),
    events_total: total,
    events_per_second: perSecond,
    index_size: index.size,
    states,
    position: Math.round(total / 40),
    door: { waiting: 0, in_flight: options.empty ? 0 : 96 * 1024, in_flight_limit: 64 << 20 },
    process: { memory: 61_865_984, cpu: options.empty ? 0.004 : 0.31 },
    shards: [shard(0), shard(1)],
    inputs: [
      input("riemann-tcp", "riemann_tcp", "127.0.0.1:5555", 0.86),
      input("riemann-udp", "riemann_udp", "127.0.0.1:5555", 0.1, { shed: options.empty ? 0 : 214 }),
      input("http", "http", "127.0.0.1:5559", 0.04),
    ],
    outputs: options.empty
      ? [output("live", "live", "idle")]
      : [
          output("live", "live", "ok", { delivered: 8_214 }),
          output("graphite", "graphite", "ok", { delivered: 1_204_331, queued: 12, per_second: 812 }),
          output("pager", "webhook", "failing", {
            failed: 31,
            queued: 80_005,
            last_error: "POST https://pager.example/v2: connection refused (attempt 7, next in 14 s)",
          }),
        ],
  };
}

const LIMIT_FAULT = {
  kind: "panic",
  message: "panicked at src/lib.rs:87:34:\nindex out of bounds: the len is 64 but the index is 64",
  during: "on_event",
  at: new Date(started - 42_000).toISOString(),
  event: {
    host: "edge-03.fra1.example.net",
    service: "api latency p99",
    state: "ok",
    metric: 9.1e15,
    time: new Date(started - 42_000).toISOString(),
  },
};

function rules() {
  const age = (Date.now() - started) / 1000;
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
    events: Math.round(total * share),
    events_per_second: Math.round(perSecond * share),
    ns_per_event: ns + 3 * Math.sin(age / 5),
    cpu: perSecond * share * ns * 1e-9,
    memory: 1_310_720,
    keys: Math.round(index.size * share),
    emitted: 0,
    forwarded: Math.round(age),
    faults: 0,
    last_fault: null,
    quarantined_until: null,
    ...more,
  });
  // More than a few are copies of a small one: there may be thousands.
  const many = Math.max(0, Number(options.rules) - 4);
  const more = Array.from({ length: options.empty ? 0 : many }, (_, n) =>
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
        last_fault: LIMIT_FAULT,
        quarantined_until: new Date(started + 600_000).toISOString(),
        events_per_second: 0,
      },
    ),
    rule("silence", "2.0.0", 3, "true", "stream", 1, 23, {
      memory: 5_242_880,
      faults: 1,
      last_fault: {
        ...LIMIT_FAULT,
        kind: "deadline",
        message: "the call took longer than 20 ms and was stopped",
        event: 'host=db-02.fra1.example.net service="replication lag" metric=0.4',
      },
    }),
  ]
    .slice(0, options.empty ? 0 : Number(options.rules))
    .concat(more);
}

/** As the server ranks them: in trouble first, then by time. */
function ranked(find = "", limit = 100) {
  const all = rules();
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

function said(news) {
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

function frame(response, name, data) {
  response.write(`event: ${name}\ndata: ${JSON.stringify(data)}\n\n`);
}

function stream(response, matches) {
  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache" });
  const held = [...index.values()].filter(matches);
  let reset = true;
  do {
    frame(response, "snapshot", { events: held.splice(0, 5_000), reset });
    reset = false;
  } while (held.length > 0);
  frame(response, "overview", overview());
  frame(response, "rules", ranked());
  const page = { response, matches };
  pages.add(page);
  response.on("close", () => pages.delete(page));
}

function json(response, status, value) {
  response.writeHead(status, { "content-type": "application/json", "cache-control": "no-store" });
  response.end(JSON.stringify(value));
}

function serve(request, response) {
  const url = new URL(request.url, "http://mock");
  response.setHeader("content-security-policy", POLICY);
  response.setHeader("x-content-type-options", "nosniff");
  if (url.pathname === "/api/v1/overview") return json(response, 200, overview());
  if (url.pathname === "/api/v1/rules") {
    return json(
      response,
      200,
      ranked(url.searchParams.get("find") ?? "", Number(url.searchParams.get("limit") ?? 1_000)),
    );
  }
  if (url.pathname === "/api/v1/query" || url.pathname === "/api/v1/stream") {
    let matches;
    try {
      matches = compile(url.searchParams.get("q") ?? "true");
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      return json(response, 400, { error: { message: error.message, span: error.span, help: error.help } });
    }
    if (url.pathname.endsWith("/stream")) return stream(response, matches);
    const found = [...index.values()].filter(matches);
    const limit = Number(url.searchParams.get("limit") ?? 1000);
    return json(response, 200, { events: found.slice(0, limit), truncated: found.length > limit });
  }
  const path = join(DIST, normalize(url.pathname === "/" ? "index.html" : url.pathname));
  if (!path.startsWith(DIST) || !existsSync(path))
    return json(response, 404, { error: { message: `there is nothing at ${url.pathname}` } });
  response.writeHead(200, {
    "content-type": TYPES[extname(path)] ?? "application/octet-stream",
    "cache-control": "no-cache",
  });
  return createReadStream(path).pipe(response);
}

let beats = 0;
setInterval(() => {
  const news = fleet.step(Date.now(), 0.12);
  take(news);
  const live = beats++ % 3 === 0 ? said(news) : [];
  const wave = 1 + 0.25 * Math.sin(Date.now() / 9000) + 0.06 * Math.sin(Date.now() / 700);
  perSecond = options.empty ? 0 : Math.round(fleet.streams.length * 260 * wave);
  const beat = beats % 5 === 0 ? [overview(), ranked()] : null;
  for (const { response, matches } of pages) {
    const events = news.filter(matches);
    if (events.length > 0) frame(response, "delta", { events, skipped: 0 });
    if (live.length > 0) frame(response, "forwarded", { items: live, skipped: 0 });
    if (beat !== null) {
      frame(response, "overview", beat[0]);
      frame(response, "rules", beat[1]);
    }
  }
}, FRAME);
// Some history, so that the first look shows a fleet in the middle of its day.
for (let n = 300; n > 0; n--) take(fleet.step(Date.now() - n * FRAME, 0.12));

const server = createServer(serve);
server.listen(Number(options.port), "127.0.0.1", () =>
  console.log(`http://127.0.0.1:${server.address().port}`),
);
