// What the server sends: the JSON of /api/v1, as far as this page reads it.

/** One event in Riemann's JSON. Keys beyond the named ones are attributes. */
export interface Event {
  host: string | null;
  service: string | null;
  state: string | null;
  description: string | null;
  metric: number | null;
  tags: string[] | null;
  /** ISO 8601 in UTC. */
  time: string | null;
  /** Seconds; null means 60. */
  ttl: number | null;
  /** `true`: its stream does not match the query of this connection (any more). */
  left?: unknown;
  [attribute: string]: unknown;
}

export interface Input {
  name: string;
  kind: string;
  address: string;
  received: number;
  accepted: number;
  rejected: number;
  shed: number;
  connections: number;
  per_second: number;
  messages_per_second: number;
  bytes_per_second: number;
  latency_ms: { p50: number; p99: number } | null;
}

export interface Output {
  name: string;
  kind: string;
  status: "ok" | "connecting" | "failing" | "idle";
  queued: number;
  /** Events that may wait; 0 where none ever does. */
  capacity: number;
  queued_bytes: number;
  per_second: number;
  delivered: number;
  dropped: number;
  failed: number;
  last_error: string | null;
}

export interface Shard {
  number: number;
  events_per_second: number;
  ns_per_event: number | null;
  /** The share of its time that it works. */
  busy: number;
  /** Batches. */
  queued: number;
  streams: number;
  refused: number;
  rule_memory: number;
  rule_faults: number;
}

export interface States {
  ok: number;
  warning: number;
  critical: number;
  unknown: number;
  expired: number;
  other: number;
}

export interface Overview {
  version: string;
  uptime_s: number;
  now: string;
  events_total: number;
  events_per_second: number;
  index_size: number;
  states: States;
  position: number | null;
  door: { waiting: number; in_flight: number; in_flight_limit: number };
  /** Bytes, and how many cores are kept busy. */
  process: { memory: number | null; cpu: number };
  shards: Shard[];
  inputs: Input[];
  outputs: Output[];
  /** What the whole node has to say, worst first. */
  banners?: Banner[];
  alerts?: { firing: number; acknowledged: number; silenced: number; oldest: Alert | null };
}

export interface Banner {
  level: "warning" | "critical";
  text: string;
}

export interface Fault {
  kind: string;
  message: string;
  during: string;
  /** The event it happened on: text, or the event itself. */
  event: unknown;
  at: string;
}

export interface Rule {
  name: string;
  generation: number;
  module: string;
  version: string;
  query: string;
  per: string;
  set: Record<string, unknown>;
  outputs: Record<string, string>;
  status: "running" | "paused" | "restarting" | "quarantined";
  events: number;
  events_per_second: number;
  ns_per_event: number | null;
  /** How many cores it keeps busy. */
  cpu: number;
  memory: number;
  keys: number;
  emitted: number;
  forwarded: number;
  faults: number;
  last_fault: Fault | null;
  quarantined_until: string | null;
}

/** Some of the rules: those in trouble, then those that take most time. */
export interface Rules {
  rules: Rule[];
  /** How many are deployed, and how many of these are left out or paused. */
  total: number;
  quarantined: number;
  paused: number;
  /** How many match what was looked for. */
  found: number;
}

/** What a rule sent to a live output. */
export interface Forwarded {
  rule: string;
  output: string;
  event: Event;
}

/** Why a query was refused. The span counts bytes of the query. */
export interface Refusal {
  message: string;
  span?: [number, number];
  help?: string | null;
}

/** What a rule forwarded to an output for alerts, folded by key. */
export interface Alert {
  id: string;
  key: string;
  output: string;
  rule: string;
  generation: number;
  version: string;
  host: string | null;
  service: string | null;
  state: string | null;
  metric: number | null;
  description: string | null;
  status: "firing" | "acknowledged" | "silenced" | "resolved";
  since: string;
  until: string | null;
  duration_s: number;
  last: string;
  events: number;
  flapping: boolean;
  acknowledged: { by: string; at: string; note: string | null } | null;
  silence: string | null;
  escalated: number;
  notified: { at: string; to: string; notice: string }[];
  group: string | null;
  before: unknown;
  after: unknown;
}

export interface AlertList {
  alerts: Alert[];
  total: number;
  firing: number;
  acknowledged: number;
  silenced: number;
  next: string | null;
}

/** The course of one stream: time in milliseconds, least, most and last metric, and how many events. */
export interface History {
  host: string | null;
  service: string | null;
  from: string;
  to: string;
  step_ms: number;
  source: "memory" | "log" | "both";
  points: [number, number | null, number | null, number | null, number][];
  states: [number, string | null][];
  complete: boolean;
}

/** One event of the tail, and where it stands in the log. */
export interface Tapped {
  position: number;
  /** null: the index made it, when a stream had run out. */
  row: number | null;
  event: Event;
}

/** What became of one event. */
export interface Explained {
  event: Event;
  position: number;
  row: number;
  at: string;
  rules: ExplainedRule[];
  index: { before: Event | null } | null;
  complete: boolean;
  note: string | null;
}

export interface ExplainedRule {
  name: string;
  generation: number;
  version: string;
  query: string;
  per: string;
  matched: boolean;
  why: string | null;
  key: string | null;
  before: unknown;
  after: unknown;
  effects: {
    kind: "emit" | "forward" | "log";
    output: string | null;
    event: Event | null;
    level: string | null;
    message: string | null;
  }[];
}

/** What may stand at a place of a query. */
export interface Completion {
  from: number;
  to: number;
  items: { text: string; kind: string; detail: string | null }[];
}

/** A view that somebody saved for all. */
export interface SavedView {
  name: string;
  view: { address?: string; workspace?: number } & Record<string, unknown>;
  by: string | null;
  at: string;
}
