// The way of events through the simulated node.

import { alertsOf } from "../alerts.mjs";
import { overview } from "../overview.mjs";
import { rules } from "../rules.mjs";

export const routes = [
  [
    "GET",
    "topology",
    ({ world, json }) => {
      const { inputs, outputs, events_per_second, alerts } = overview(world);
      const nodes = inputs.map(({ name, kind, address, per_second, shed }) => ({
        id: `input:${name}`,
        kind: "input",
        name,
        per_second,
        queued: 0,
        status: shed > 0 ? "shedding" : "ok",
        detail: `${kind} on ${address}${shed > 0 ? `; ${shed} events were shed` : ""}`,
      }));
      const edges = inputs.map(({ name, per_second }) => ({ from: `input:${name}`, to: "log", per_second }));
      nodes.push({
        id: "log",
        kind: "log",
        name: "log",
        per_second: events_per_second,
        queued: 0,
        status: "ok",
        detail: "3 segments, 412 MiB, 2 shards read it",
      });
      const into = new Map();
      for (const rule of rules(world)) {
        nodes.push({
          id: `rule:${rule.name}`,
          kind: "rule",
          name: rule.name,
          per_second: rule.events_per_second,
          queued: 0,
          status: rule.status,
          detail: rule.last_fault?.message ?? null,
        });
        edges.push({ from: "log", to: `rule:${rule.name}`, per_second: rule.events_per_second });
        for (const output of new Set(Object.values(rule.outputs))) {
          const per_second = Math.round(rule.events_per_second / 400);
          into.set(output, (into.get(output) ?? 0) + per_second);
          edges.push({ from: `rule:${rule.name}`, to: `output:${output}`, per_second });
        }
        if (rule.emitted > 0) edges.push({ from: `rule:${rule.name}`, to: "log", per_second: 2 });
      }
      for (const { name, kind, status, queued, last_error } of outputs)
        nodes.push({
          id: `output:${name}`,
          kind: "output",
          name,
          per_second: status === "failing" ? 0 : (into.get(name) ?? 0),
          queued,
          status,
          detail: last_error ?? kind,
        });
      nodes.push({
        id: "output:oncall",
        kind: "alerts",
        name: "oncall",
        per_second: 0.4,
        queued: 0,
        status: "ok",
        detail: `alerts: ${alerts.firing} firing, ${alertsOf(world).total} open`,
      });
      if (!world.options.empty)
        edges.push(
          { from: "rule:latency_state", to: "output:oncall", per_second: 0.4 },
          { from: "output:oncall", to: "output:pager", per_second: null },
        );
      // A rule with several outputs does not say how much goes to each.
      for (const edge of edges)
        if (edge.from === "rule:latency_state" && edge.to !== "log") edge.per_second = null;
      json(200, { nodes, edges, left_out: 0 });
    },
  ],
];
