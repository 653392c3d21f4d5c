// The node at a glance.

import { alertsOf } from "./alerts.mjs";

/** `GET overview`, and the frame of the same name. */
export function overview(world) {
  const open = alertsOf(world);
  const states = { ok: 0, warning: 0, critical: 0, unknown: 0, expired: 0, other: 0 };
  for (const { state } of world.index.values()) states[state in states ? state : "other"]++;
  const input = (name, kind, address, share, more = {}) => ({
    name,
    kind,
    address,
    received: Math.round(world.total * share),
    accepted: Math.round(world.total * share),
    rejected: 0,
    shed: 0,
    connections: 3,
    per_second: Math.round(world.perSecond * share),
    messages_per_second: Math.round((world.perSecond * share) / 50),
    bytes_per_second: Math.round(world.perSecond * share * 90),
    latency_ms: { p50: 0.21, p99: 1.84 },
    ...more,
  });
  const shard = (number) => ({
    number,
    events_per_second: Math.round(world.perSecond / 2),
    ns_per_event: 310 + 12 * number,
    busy: world.options.empty ? 0 : (world.perSecond / 2) * 320e-9,
    queued: number,
    streams: Math.round(world.index.size / 2),
    refused: 0,
    rule_memory: 3_932_160,
    rule_faults: world.options.empty ? 0 : 3 * number,
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
    uptime_s: Math.round((Date.now() - world.started) / 1000),
    now: new Date().toISOString(),
    events_total: world.total,
    events_per_second: world.perSecond,
    index_size: world.index.size,
    states,
    position: Math.round(world.total / 40),
    door: { waiting: 0, in_flight: world.options.empty ? 0 : 96 * 1024, in_flight_limit: 64 << 20 },
    process: { memory: 61_865_984, cpu: world.options.empty ? 0.004 : 0.31 },
    shards: [shard(0), shard(1)],
    banners: world.options.empty
      ? []
      : [
          { level: "critical", text: "output pager is failing: 80 005 events wait for it" },
          { level: "warning", text: "rule queue_stall is in quarantine after 5 faults" },
        ],
    alerts: { firing: open.firing, acknowledged: 0, silenced: 0, oldest: open.alerts[0] ?? null },
    inputs: [
      input("riemann-tcp", "riemann_tcp", "127.0.0.1:5555", 0.86),
      input("riemann-udp", "riemann_udp", "127.0.0.1:5555", 0.1, { shed: world.options.empty ? 0 : 214 }),
      input("http", "http", "127.0.0.1:5559", 0.04),
    ],
    outputs: world.options.empty
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
