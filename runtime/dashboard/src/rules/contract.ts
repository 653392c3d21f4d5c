// What the server sends about modules and rules beyond the list: manifests, trials, history, logs, state.

import type { Event, Rule } from "../contract.ts";

/** Something that is set when a rule is deployed. */
export interface Parameter {
  name: string;
  type: "number" | "integer" | "flag" | "text" | "span";
  doc: string;
  default: string | null;
  required: boolean;
}

export interface DeclaredOutput {
  name: string;
  doc: string;
  /** The module reads further names of outputs from its parameters. */
  many: boolean;
}

/** What a module says about itself, and how it differs from what runs under a name. */
export interface Manifest {
  module: string;
  name: string;
  version: string;
  doc?: string;
  query: string;
  per: string;
  bytes: number;
  parameters: Parameter[];
  outputs: DeclaredOutput[];
  schema: number;
  limits: Record<string, unknown>;
  sdk: string;
  imports: string[];
  running: Running | null;
}

export interface Running {
  generation: number;
  version: string;
  changes: { what: string; from: unknown; to: unknown }[];
  set: Record<string, string>;
  outputs: Record<string, string>;
}

export interface Trial {
  generation: number;
  module: string;
  version: string;
  /** 0 for a shadow. */
  percent: number;
  status: Rule["status"];
  by: string | null;
  since: string;
  promoted_at: string | null;
  events: number;
  faults: number;
  same: number;
  only_new: number;
  only_old: number;
}

/** A rule with what only the answer about one says. */
export interface RuleInFull extends Rule {
  by: string | null;
  since: string;
  trial: Trial | null;
}

export interface Deployed {
  name: string;
  generation: number;
  position: number;
  module: string;
  version: string;
  bytes: number;
  millis: number;
  shards: number;
}

export interface Past {
  generation: number;
  module: string;
  version: string;
  query: string;
  by: string | null;
  position: number;
  since: string;
  ended_position: number;
  ended: string;
  how: "replaced" | "rolled back" | "abandoned";
  reason: string | null;
}

export interface Difference {
  position: number;
  candidate: boolean;
  action: string;
  event: Event;
}

export interface History {
  name: string;
  history: Past[];
  differences: Difference[];
}

export interface LogLine {
  at: string;
  level: string;
  message: string;
  position: number | null;
  /** The event, or its text. */
  event: unknown;
}

export interface Logs {
  rule: string;
  lines: LogLine[];
  /** Lines that were not kept. */
  missed: number;
}

export interface KeyState {
  host: string | null;
  service: string | null;
  id: string;
  schema: number;
  wakes: string[];
  state: unknown;
}

export interface States {
  rule: string;
  generation: number;
  per: string;
  keys: KeyState[];
  more: boolean;
}
