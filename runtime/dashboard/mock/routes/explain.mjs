// What became of one event: made up from what the rules of the mock want.

import { compile } from "../query.mjs";
import { rules } from "../rules.mjs";

/** What a rule of the mock keeps for the key of an event, before and after it. */
function statesOf(rule, event) {
  const before = { count: 41, sum: 12.5, worst: { state: "ok", metric: 0.4 }, since: "2026-01-01T00:00:00Z" };
  const metric = event.metric ?? 0;
  const after = { ...before, count: 42, sum: Number((before.sum + metric).toFixed(4)) };
  if (event.state !== "ok") after.worst = { state: event.state, metric };
  return rule.name === "cpu_top" ? { before: null, after } : { before, after };
}

function explain(rule, event) {
  const matched = rule.status === "running" && compile(rule.query)(event);
  const common = {
    name: rule.name,
    generation: rule.generation,
    version: rule.version,
    query: rule.query,
    per: rule.per,
  };
  if (!matched) {
    const why =
      rule.status === "running" ? `the query does not match: ${rule.query}` : `the rule is in ${rule.status}`;
    return { ...common, matched: false, why, key: null, before: null, after: null, effects: [] };
  }
  const effects = [];
  const none = { output: null, event: null, level: null, message: null };
  if (rule.name === "latency_state") {
    const said = { ...event, service: `${event.service} limit`, tags: null };
    effects.push({ ...none, kind: "emit", event: said });
    effects.push({ ...none, kind: "forward", output: "pager", event: said });
  }
  if (rule.name === "silence" && event.state !== "ok")
    effects.push({ ...none, kind: "log", level: "warning", message: `${event.service} is ${event.state}` });
  return {
    ...common,
    matched: true,
    why: null,
    key: `${event.host}|${event.service}`,
    ...statesOf(rule, event),
    effects,
  };
}

export const routes = [
  [
    "GET",
    "explain",
    ({ world, query, json, refuse }) => {
      const [position, row] = [Number(query.get("position")), Number(query.get("row"))];
      const event = world.at(position, row);
      if (event === undefined) {
        refuse(404, `the log holds no event at ${position}:${row} any more`);
        return;
      }
      json(200, {
        event,
        position,
        row,
        at: event.time,
        rules: rules(world)
          .slice(0, 100)
          .map((rule) => explain(rule, event)),
        index: { before: { ...event, metric: (event.metric ?? 0) * 0.97, state: "ok" } },
        complete: true,
        note: null,
      });
    },
  ],
];
