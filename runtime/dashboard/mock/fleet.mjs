// A simulated fleet: hosts whose services wander, fail, recover and expire. The same seed gives the same fleet.

const ROLES = [
  [
    "web",
    0.4,
    ["cpu", "memory", "disk /", "load", "api rate", "api errors", "api latency p50", "api latency p99"],
  ],
  [
    "db",
    0.15,
    ["cpu", "memory", "disk /", "disk /data", "load", "replication lag", "connections", "cache hit ratio"],
  ],
  ["cache", 0.15, ["cpu", "memory", "load", "evictions", "cache hit ratio", "connections"]],
  ["queue", 0.1, ["cpu", "memory", "disk /data", "load", "queue depth", "oldest message age"]],
  ["edge", 0.2, ["cpu", "memory", "load", "api rate", "tls handshakes", "api latency p99"]],
];
const SCALE = {
  cpu: 0.9,
  memory: 0.95,
  "disk /": 0.95,
  "disk /data": 0.95,
  load: 14,
  "api rate": 4200,
  "api errors": 30,
  "api latency p50": 60,
  "api latency p99": 420,
  "replication lag": 9,
  connections: 900,
  "cache hit ratio": 1,
  evictions: 2600,
  "queue depth": 84_000,
  "oldest message age": 70,
  "tls handshakes": 700,
};

/** A small generator of chance with a seed. */
export function chance(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

export class Fleet {
  constructor({ hosts = 40, seed = 7, hostile = false } = {}) {
    this.random = chance(seed);
    this.streams = [];
    for (const [role, share, services] of ROLES) {
      const count = hosts === 0 ? 0 : Math.max(1, Math.round(hosts * share));
      for (let n = 1; n <= count; n++) {
        for (const service of services)
          this.add(`${role}-${String(n).padStart(2, "0")}.fra1.example.net`, service);
      }
    }
    if (hosts > 0) {
      this.add(null, "fleet availability");
      this.add("web-01.fra1.example.net", "deploy", "deploying");
    }
    if (hostile) this.addHostile();
  }

  add(host, service, text = null) {
    this.streams.push({
      host,
      service,
      text,
      level: 0.2 + 0.35 * this.random(),
      push: 0,
      event: null,
      silent: 0,
    });
  }

  addHostile() {
    for (const host of [
      '<img src=x onerror="alert(1)">',
      "x".repeat(4000),
      "\u202egnihtyreve-si-ereht\u202c",
      "خادم-الويب-٠١",
      "東京-サーバ-01",
      "a\u0000b\u0007c\nnew line",
      `z${"\u0301\u0302\u0303".repeat(200)}`,
      "",
      "__proto__",
      "👩‍👩‍👧‍👦-family",
      "\ud800lone",
    ]) {
      this.add(host, "cpu");
      this.add(host, "</script><script>alert(2)</script>");
    }
    this.add(null, null);
  }

  /** Moves time, and returns the events that came of it. */
  step(now, share) {
    const news = [];
    for (const stream of this.streams) {
      if (stream.silent > now || (stream.event !== null && this.random() > share)) continue;
      if (stream.event !== null && this.random() < 0.0002) {
        stream.silent = now + 20_000;
        stream.event = { ...stream.event, state: "expired", time: new Date(now).toISOString() };
        news.push(stream.event);
        continue;
      }
      if (this.random() < 0.0012) stream.push = 0.16 * (this.random() < 0.5 ? 0.6 : 1);
      stream.push *= 0.93;
      stream.level = Math.min(
        1,
        Math.max(
          stream.floor ?? 0.02,
          stream.level + (this.random() - 0.5) * 0.05 + stream.push * 0.4 - (stream.level - 0.4) * 0.03,
        ),
      );
      stream.event = this.event(stream, now);
      news.push(stream.event);
    }
    return news;
  }

  event({ host, service, level, text }, now) {
    const metric = level * (SCALE[service] ?? 100);
    const state =
      text ?? (level > 0.78 ? "critical" : level > 0.68 ? "warning" : level < 0.05 ? "unknown" : "ok");
    const whole = metric > 100;
    return {
      host,
      service,
      state,
      description:
        state === "ok"
          ? null
          : text !== null
            ? "release 2024.11.3 on its way"
            : `${service} at ${metric.toFixed(2)}, usual is ${((SCALE[service] ?? 100) * 0.4).toFixed(2)}`,
      metric: whole ? Math.round(metric) : Number(metric.toFixed(4)),
      tags: ["prod", host?.split("-")[0] ?? "fleet"].map((tag) => tag.slice(0, 40)),
      time: new Date(now).toISOString(),
      ttl: 60,
      region: "fra1",
    };
  }
}
