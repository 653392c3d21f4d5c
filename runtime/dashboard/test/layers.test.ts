import assert from "node:assert/strict";
import { test } from "node:test";
import { curve, laid, MOST_RULES, neighbour, thickness } from "../src/logic/layers.ts";
import type { Topology, TopologyNode } from "../src/topology/contract.ts";

/** Two inputs, so many rules that feed two outputs in turn. */
function topology(rules: number): Topology {
  const node = (kind: TopologyNode["kind"], name: string, per_second = 1, status = "ok"): TopologyNode => ({
    id: kind === "log" ? "log" : `${kind}:${name}`,
    kind,
    name,
    per_second,
    queued: 0,
    status,
    detail: null,
  });
  const names = Array.from({ length: rules }, (_, n) => `r${n}`);
  return {
    nodes: [
      node("input", "tcp"),
      node("input", "udp"),
      node("log", "log"),
      ...names.map((name, n) => node("rule", name, n, n === 0 ? "quarantined" : "running")),
      node("output", "live"),
      node("output", "mail"),
    ],
    edges: [
      { from: "input:tcp", to: "log", per_second: 1 },
      { from: "input:udp", to: "log", per_second: 1 },
      ...names.map((name) => ({ from: "log", to: `rule:${name}`, per_second: 1 })),
      ...names.map((name, n) => ({
        from: `rule:${name}`,
        to: n % 2 === 0 ? "output:live" : "output:mail",
        per_second: 1,
      })),
    ],
  };
}

for (const [rules, width, height] of [
  [0, 1200, 700],
  [3, 1200, 700],
  [60, 1200, 700],
  [60, 700, 600],
  [400, 1800, 1000],
] as const) {
  test(`${rules} rules on ${width} × ${height}: nothing overlaps, nothing stands outside`, () => {
    const { boxes, height: tall } = laid(topology(rules), width, height);
    const all = [...boxes.values()];
    assert.equal(boxes.size, 5 + Math.min(rules, MOST_RULES));
    for (const [n, a] of all.entries()) {
      assert.ok(a.x >= 0 && a.x + a.width <= width + 0.5, `in the width: ${JSON.stringify(a)}`);
      assert.ok(a.y >= 0 && a.y + a.height <= tall + 0.5, `in the height: ${JSON.stringify(a)} of ${tall}`);
      assert.ok(a.height >= 28, "high enough to read");
      for (const b of all.slice(n + 1)) {
        const apart =
          a.x + a.width <= b.x || b.x + b.width <= a.x || a.y + a.height <= b.y || b.y + b.height <= a.y;
        assert.ok(apart, `${JSON.stringify(a)} and ${JSON.stringify(b)}`);
      }
    }
  });
}

test("few rules have room for two lines, many for one", () => {
  assert.ok(laid(topology(3), 1200, 700).roomy);
  assert.ok(!laid(topology(60), 1200, 700).roomy);
});

test("of too many rules those in trouble and the busiest are shown", () => {
  const { boxes, hidden } = laid(topology(400), 1800, 1000);
  assert.equal(hidden, 400 - MOST_RULES);
  assert.ok(boxes.has("rule:r0"), "in quarantine");
  assert.ok(boxes.has("rule:r399"), "the busiest");
  assert.ok(!boxes.has("rule:r1"));
});

test("rules that feed the same output stand together", () => {
  const order = laid(topology(6), 1200, 700).columns[2];
  assert.deepEqual(order, ["rule:r0", "rule:r2", "rule:r4", "rule:r1", "rule:r3", "rule:r5"]);
});

test("keys go up and down a column, and to the nearest of the next", () => {
  const layout = laid(topology(3), 1200, 700);
  assert.equal(neighbour(layout, "input:tcp", "down"), "input:udp");
  assert.equal(neighbour(layout, "input:udp", "down"), "input:udp");
  assert.equal(neighbour(layout, "input:tcp", "right"), "log");
  assert.equal(neighbour(layout, "rule:r0", "right"), "output:live");
  assert.equal(neighbour(layout, "rule:r0", "left"), "log");
  assert.equal(neighbour(layout, "nothing", "left"), "input:tcp");
});

test("a curve begins and ends at its nodes, and one back into the log is straight", () => {
  const bar = { x: 100, y: 0, width: 46, height: 700 };
  const node = { x: 200, y: 300, width: 120, height: 40 };
  assert.equal(curve(bar, node), "M146 320H200");
  assert.equal(curve(node, bar), "M200 327H146");
  assert.equal(curve(node, { ...node, y: 100 }), "M200 320C152 320 152 120 200 120");
  assert.match(curve(node, { x: 400, y: 0, width: 100, height: 40 }), /^M320 320C.* 400 20$/u);
});

test("ten times as many are a little thicker, up to a bound", () => {
  assert.ok(thickness(10) < thickness(100) && thickness(1e3) < thickness(1e5));
  assert.ok(thickness(1e12) <= 7);
  assert.equal(thickness(null), 1);
});
