// How the states of a rule look, and in which order rules stand.

import type { Rule } from "../contract.ts";
import { byName } from "../logic/names.ts";
import type { State } from "../logic/state.ts";

export const LOOK: Readonly<Record<Rule["status"], State>> = {
  running: "ok",
  paused: "other",
  restarting: "warning",
  quarantined: "critical",
};

export const ORDERS = ["", "rate", "cost", "cpu", "memory", "keys", "said", "faults"] as const;
export type RuleOrder = (typeof ORDERS)[number];

const FIGURES: Readonly<Record<Exclude<RuleOrder, "">, (rule: Rule) => number>> = {
  rate: (rule) => rule.events_per_second,
  cost: (rule) => rule.ns_per_event ?? 0,
  cpu: (rule) => rule.cpu,
  memory: (rule) => rule.memory,
  keys: (rule) => rule.keys,
  said: (rule) => rule.forwarded,
  faults: (rule) => rule.faults,
};

const TROUBLE: Readonly<Record<Rule["status"], number>> = {
  quarantined: 0,
  restarting: 1,
  paused: 2,
  running: 2,
};

/** In trouble first, then by name; or the greatest figure first. */
export function ordered(rules: readonly Rule[], order: RuleOrder): Rule[] {
  const figure = order === "" ? null : FIGURES[order];
  return [...rules].sort((a, b) =>
    figure === null
      ? (TROUBLE[a.status] ?? 2) - (TROUBLE[b.status] ?? 2) || byName(a.name, b.name)
      : figure(b) - figure(a) || byName(a.name, b.name),
  );
}
