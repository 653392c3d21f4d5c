// What the server sends about rules that are tried on the past: the report of `tidegate backtest --json`, and its way there.

import type { Event } from "../contract.ts";

export interface Interval {
  /** `stream`, or an output as the rule declares it. */
  to: string;
  host: string | null;
  service: string | null;
  state: string;
  from: string;
  /** Null: it still stood so at the end. */
  until: string | null;
}

export interface Outcome {
  name: string;
  version: string;
  module: string;
  query: string;
  per: string;
  set: Record<string, string>;
  wanted: number;
  keys: { last: number; most: number; over: number };
  effects: { stream: number; outputs: Record<string, number>; log: number; cut: Record<string, number> };
  fired: { count: number; standing: number; untracked: number; intervals: Interval[] };
  faults: {
    count: number;
    skipped: number;
    first: { at: string; kind: string; message: string; during: string; event: unknown }[];
  };
  instructions: { per_event: number } | null;
}

export interface Report {
  schema: number;
  read: {
    kind: string;
    from: string | null;
    to: string | null;
    batches: number;
    events: number;
    late: { events: number };
    missing: number;
    damaged: number;
  };
  rule: Outcome;
  against: Outcome | null;
  differences: {
    fired: { same: number; new: Interval[]; gone: Interval[] };
    effects: {
      same: number;
      only_rule: number;
      only_against: number;
      first: { only: "rule" | "against"; at: string; to: string; event: Event }[];
    };
  } | null;
}

/** What is tried: a rule, as it runs but for what is said here, or a module that the node has. */
export interface Candidate {
  rule?: string;
  module?: string;
  set?: Record<string, string>;
  query?: string | null;
  per?: string | null;
}

export interface Backtest {
  id: string;
  status: "waiting" | "running" | "done" | "failed" | "cancelled";
  progress: number;
  error: string | null;
  /** What was asked for, when, and by whom. */
  asked: Candidate & { against: Candidate | null; from: string | null; to: string | null };
  at: string;
  by: string;
  /** Only in the answer about one, and only when it is done. */
  report?: Report | null;
}
