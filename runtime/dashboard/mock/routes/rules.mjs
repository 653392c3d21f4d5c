// Rules: what runs, and what is done to it; modules that are dropped onto the page.

import { change, deploy, history, inspect, one } from "../rules.mjs";

const iso = (at) => new Date(at).toISOString();

const known = (handle) => (context) => {
  const { world, params, refuse } = context;
  const rule = one(world, params.name);
  if (rule === null) refuse(404, `there is no rule \`${params.name}\`: see /api/v1/rules`);
  else handle({ ...context, rule });
};

function logs({ world, rule, json }) {
  const lines = [];
  const add = (ago, level, message, event = null) =>
    lines.push({
      at: iso(Date.now() - ago),
      level,
      message,
      position: world.position - Math.round(ago / 1000),
      event,
    });
  if (rule.last_fault !== null) {
    const event = typeof rule.last_fault.event === "string" ? null : rule.last_fault.event;
    for (let n = 0; n < rule.faults; n++) add(42_000 + 61_000 * n, "error", rule.last_fault.message, event);
  }
  add(3_000, "info", "p99 of http/api on edge-03 is 312 ms, limit 250 ms");
  add(14_000, "warn", "metric 9.1e15 is out of range, clamped");
  add(61_000, "info", `began with ${rule.keys} keys of generation ${rule.generation - 1}`);
  json(200, { rule: rule.name, lines: lines.sort((a, b) => a.at.localeCompare(b.at)), missed: 12 });
}

function state({ world, rule, query, json, refuse }) {
  const wanted = query.get("key");
  const limit = Number(query.get("limit") ?? 100);
  const events = [...world.index.values()].filter(({ service }) => service?.includes("latency"));
  const named = ({ host, service }) =>
    rule.per === "host" ? host : rule.per === "service" ? service : `${host}/${service}`;
  const found = (rule.per === "whole" ? events.slice(0, 1) : events).filter(
    (event) => wanted === null || named(event) === wanted,
  );
  if (wanted !== null && found.length === 0)
    return refuse(404, `rule \`${rule.name}\` remembers nothing for the key \`${wanted}\``);
  const keys = found.slice(0, limit).map((event, n) => ({
    host: rule.per === "whole" || rule.per === "service" ? null : event.host,
    service: rule.per === "whole" || rule.per === "host" ? null : event.service,
    id: (n + 1).toString(16).padStart(16, "0"),
    schema: 1,
    wakes: [iso(Date.now() + 3_200)],
    state: {
      over: event.state === "critical",
      since: iso(world.started - 90_000),
      count: 41 + n,
      window: { sketch: { buckets: [0, 4, 18, 31, 12, 3], least: 18.2, most: event.metric } },
    },
  }));
  return json(200, {
    rule: rule.name,
    generation: rule.generation,
    per: rule.per,
    keys,
    more: found.length > limit,
  });
}

export const routes = [
  ["GET", "rules/:name", known(({ rule, json }) => json(200, rule))],
  ["GET", "rules/:name/history", known(({ world, rule, json }) => json(200, history(world, rule.name)))],
  ["GET", "rules/:name/logs", known(logs)],
  ["GET", "rules/:name/state", known(state)],
  ["PUT", "rules/:name", deploy],
  ["DELETE", "rules/:name", change("remove")],
  ["POST", "rules/:name/pause", change("pause")],
  ["POST", "rules/:name/resume", change("resume")],
  ["POST", "rules/:name/rollback", change("rollback")],
  ["POST", "rules/:name/promote", change("promote")],
  ["POST", "rules/:name/abandon", change("abandon")],
  [
    "POST",
    "modules/inspect",
    ({ world, bytes, query, json, refuse }) => {
      const found = inspect(world, bytes, query.get("rule"));
      if (found === null) refuse(422, "the module has no manifest: it was not built with the SDK");
      else json(200, found);
    },
  ],
];
