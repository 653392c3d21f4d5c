// The store of streams: what comes, what changes, what goes, and where it stops.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Event } from "../src/contract.ts";
import { Axes, worst } from "../src/logic/axes.ts";
import { FAREWELL, freshness, Store } from "../src/logic/store.ts";

const NOW = Date.UTC(2024, 0, 1);

function event(host: string | null, service: string | null, more: Partial<Event> = {}): Event {
  return {
    host,
    service,
    state: "ok",
    description: null,
    metric: 1,
    tags: null,
    time: new Date(NOW).toISOString(),
    ttl: 10,
    ...more,
  };
}

test("an event replaces the one before it of the same stream", () => {
  const store = new Store();
  store.apply([event("a", "cpu"), event("a", "cpu", { metric: 2 })], NOW);
  assert.equal(store.size, 1);
  assert.equal(store.get("a", "cpu")?.event.metric, 2);
});

test("missing, empty and odd names are streams of their own", () => {
  const store = new Store();
  store.apply(
    [
      event(null, "x"),
      event("", "x"),
      event("null", "x"),
      event("__proto__", "constructor"),
      event("a\u0000b", "c"),
      event("a", "b\u0000c"),
    ],
    NOW,
  );
  assert.equal(store.size, 6);
  assert.equal(store.get("__proto__", "constructor")?.host, "__proto__");
});

test("a change of state is noted, a change of metric is not", () => {
  const store = new Store();
  store.apply([event("a", "cpu")], NOW);
  store.apply([event("a", "cpu", { metric: 5 })], NOW + 1);
  assert.equal(store.get("a", "cpu")?.changed, 0);
  store.apply([event("a", "cpu", { state: "critical" })], NOW + 2);
  assert.equal(store.get("a", "cpu")?.changed, NOW + 2);
});

test("an expired stream is shown for a while and then dropped, with its row and its column", () => {
  const store = new Store();
  store.apply([event("a", "cpu"), event("b", "load")], NOW);
  store.apply([event("a", "cpu", { state: "expired" })], NOW + 1_000);
  assert.equal(store.sweep(NOW + 1_000 + FAREWELL - 1), false);
  assert.equal(store.get("a", "cpu")?.state, "expired");
  const before = store.membership;
  assert.equal(store.sweep(NOW + 1_000 + FAREWELL), true);
  assert.equal(store.get("a", "cpu"), undefined);
  assert.ok(store.membership > before);
  assert.deepEqual([store.size, [...store.hosts.keys()], [...store.services.keys()]], [1, ["b"], ["load"]]);
});

test("a stream that leaves the query is shown for a while as it is now, keeps its groups, and goes", () => {
  const store = new Store();
  store.apply([event("a", "cpu", { state: "critical", tags: ["db"], rack: "r1" })], NOW);
  store.apply([event("a", "cpu", { state: "ok", left: true }), event("b", "cpu", { left: true })], NOW);
  const cell = store.get("a", "cpu");
  assert.deepEqual([cell?.state, cell?.event.tags, cell?.event.rack], ["ok", ["db"], "r1"]);
  assert.equal(store.size, 1);
  assert.equal(store.sweep(NOW + FAREWELL - 1), false);
  store.apply([event("a", "cpu", { state: "critical" })], NOW + FAREWELL - 1);
  assert.equal(store.sweep(NOW + FAREWELL), false);
  store.apply([event("a", "cpu", { state: "ok", left: true })], NOW + FAREWELL);
  assert.equal(store.sweep(NOW + 2 * FAREWELL), true);
  assert.equal(store.size, 0);
});

test("saying again that a stream expired does not keep it longer", () => {
  const store = new Store();
  store.apply([event("a", "cpu", { state: "expired" })], NOW);
  store.apply([event("a", "cpu", { state: "expired" })], NOW + FAREWELL - 1);
  assert.equal(store.sweep(NOW + FAREWELL), true);
});

test("a stream that comes back in time stays", () => {
  const store = new Store();
  store.apply([event("a", "cpu", { state: "expired" })], NOW);
  store.apply([event("a", "cpu")], NOW + 100);
  assert.equal(store.sweep(NOW + 10 * FAREWELL), false);
  assert.equal(store.get("a", "cpu")?.state, "ok");
});

test("beyond its bound the store counts newcomers and still updates what it has", () => {
  const store = new Store(3);
  store.apply(
    [1, 2, 3, 4, 5].map((n) => event(`h${n}`, "cpu")),
    NOW,
  );
  assert.deepEqual([store.size, store.refused], [3, 2]);
  store.apply([event("h1", "cpu", { metric: 9 })], NOW);
  assert.equal(store.get("h1", "cpu")?.event.metric, 9);
  store.apply([event("h1", "cpu", { state: "expired" })], NOW);
  store.sweep(NOW + FAREWELL);
  store.apply([event("h5", "cpu")], NOW + FAREWELL);
  assert.equal(store.size, 3, "what went made room");
});

test("a reset forgets all", () => {
  const store = new Store(1);
  store.apply([event("a", "cpu"), event("b", "cpu")], NOW);
  store.reset();
  assert.deepEqual([store.size, store.refused, store.hosts.size, store.services.size], [0, 0, 0, 0]);
});

test("freshness runs from one to nothing over the time to live, which is a minute unless said", () => {
  const store = new Store();
  store.apply(
    [event("a", "x"), event("a", "usual", { ttl: null }), event("a", "timeless", { time: null })],
    NOW,
  );
  const at = (service: string, later: number) => {
    const cell = store.get("a", service);
    assert.ok(cell);
    return freshness(cell, NOW + later);
  };
  assert.deepEqual(
    [at("x", -5_000), at("x", 0), at("x", 5_000), at("x", 10_000), at("x", 99_000)],
    [1, 1, 0.5, 0, 0],
  );
  assert.equal(at("usual", 30_000), 0.5);
  assert.equal(at("timeless", 5_000), 0.5);
});

test("sorted by worst, trouble comes first and names decide among equals", () => {
  const store = new Store();
  store.apply(
    [
      event("c", "cpu"),
      event("b", "cpu"),
      event("warned", "cpu", { state: "warning" }),
      event("warned", "load", { state: "warning" }),
      event("once", "load", { state: "critical" }),
      event("twice", "load", { state: "critical" }),
      event("twice", "disk", { state: "critical" }),
    ],
    NOW,
  );
  const axes = new Axes();
  axes.update(store, "worst");
  assert.deepEqual(axes.hosts.names, ["twice", "once", "warned", "b", "c"]);
  assert.deepEqual(axes.services.names, ["load", "disk", "cpu"]);
  axes.update(store, "name");
  assert.deepEqual(axes.hosts.names, ["b", "c", "once", "twice", "warned"]);
});

test("one critical outweighs any number of warnings", () => {
  const store = new Store();
  const warnings = Array.from({ length: 500 }, (_, n) => event("many", `s${n}`, { state: "warning" }));
  store.apply([...warnings, event("zed", "s", { state: "critical" })], NOW);
  const axes = new Axes();
  axes.update(store, "worst");
  assert.deepEqual(axes.hosts.names, ["zed", "many"]);
});

test("axes notice who came and went", () => {
  const store = new Store();
  const axes = new Axes();
  store.apply([event("a", "cpu")], NOW);
  axes.update(store, "name");
  assert.equal(axes.knows(store), true);
  store.apply([event("a", "cpu", { metric: 2 })], NOW);
  assert.equal(axes.knows(store), true);
  store.apply([event("b", "cpu")], NOW);
  assert.equal(axes.knows(store), false);
});

test("the list of the worst is bounded and leaves out what is fine", () => {
  const store = new Store();
  store.apply(
    [
      event("a", "fine"),
      event("a", "w", { state: "warning" }),
      event("b", "c2", { state: "critical" }),
      event("a", "c1", { state: "critical" }),
    ],
    NOW,
  );
  const names = (most: number) => worst(store, most).map(({ service }) => service);
  assert.deepEqual(names(10), ["c1", "c2", "w"]);
  assert.deepEqual(names(2), ["c1", "c2"]);
});

test("twenty thousand streams are taken in, ordered and updated quickly", () => {
  const store = new Store();
  const all = Array.from({ length: 20_000 }, (_, n) =>
    event(`host-${n % 1000}`, `service ${Math.floor(n / 1000)}`),
  );
  const axes = new Axes();
  const start = performance.now();
  store.apply(all, NOW);
  axes.update(store, "worst");
  store.apply(all, NOW + 1);
  axes.update(store, "worst");
  const took = performance.now() - start;
  assert.equal(store.size, 20_000);
  assert.ok(took < 2_000, `took ${took} ms`);
});
