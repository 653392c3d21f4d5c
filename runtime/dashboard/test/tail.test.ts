// The tail, what changed between two values, groups of rows.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Event } from "../src/contract.ts";
import { changes, MOST_CHANGES } from "../src/logic/diff.ts";
import { grouped, labels, prefixes, tagsOf, UNTAGGED } from "../src/logic/groups.ts";
import { Store } from "../src/logic/store.ts";
import { Tail } from "../src/logic/tail.ts";

const event = (host: string, tags: string[] | null = null): Event => ({
  host,
  service: "cpu",
  state: "ok",
  description: null,
  metric: 1,
  tags,
  time: null,
  ttl: null,
});
const tapped = (row: number) => ({ position: 1, row, event: event("a") });

test("where the connection broke is marked, once, and only between events", () => {
  const tail = new Tail(10);
  tail.breaks();
  tail.add(tapped(0), 0);
  tail.breaks();
  tail.add(tapped(1), 0);
  tail.add(tapped(2), 0);
  tail.flush();
  assert.deepEqual(
    tail.rows.map(({ after_break }) => after_break),
    [false, true, false],
  );
});

test("the tail keeps the latest, newest first, and counts what waits", () => {
  const tail = new Tail(3);
  for (let n = 0; n < 2; n++) tail.add(tapped(n), 0);
  assert.equal(tail.held, 2);
  assert.equal(tail.flush(), true);
  assert.equal(tail.flush(), false);
  for (let n = 2; n < 100; n++) tail.add(tapped(n), 0);
  assert.equal(tail.held, 98);
  assert.deepEqual(
    tail.rows.map(({ row }) => row),
    [1, 0],
  );
  tail.flush();
  assert.deepEqual(
    tail.rows.map(({ row }) => row),
    [99, 98, 97],
  );
  assert.equal(tail.held, 0);
});

test("a rate counts what was left out too, over whole seconds, and falls to nothing", () => {
  const tail = new Tail(10);
  for (let second = 0; second < 6; second++) {
    tail.add(tapped(second), second * 1000);
    tail.skip(9, second * 1000);
  }
  assert.equal(tail.rate(5_999), 10);
  assert.equal(tail.rate(7_500), 7.5);
  assert.equal(tail.rate(60_000), 0);
});

test("changes are told path by path", () => {
  const before = { count: 1, sum: 2, list: [1, 2], gone: true, same: { a: 1 } };
  const after = { count: 2, sum: 2, list: [1, 3, 4], same: { a: 1 }, fresh: null };
  assert.deepEqual(changes(before, after), {
    changes: [
      { path: "count", before: "1", after: "2" },
      { path: "list[1]", before: "2", after: "3" },
      { path: "list[2]", before: undefined, after: "4" },
      { path: "gone", before: "true", after: undefined },
      { path: "fresh", before: undefined, after: "null" },
    ],
    more: 0,
  });
  assert.deepEqual(changes(null, { a: 1 }).changes, [{ path: "", before: undefined, after: '{"a":1}' }]);
  assert.deepEqual(changes([1], { 0: 1 }).changes.length, 1);
});

test("of a great many changes the first are told and the rest counted", () => {
  const wide = Object.fromEntries(Array.from({ length: 1_000 }, (_, n) => [n, n]));
  const told = changes({}, wide);
  assert.equal(told.changes.length, MOST_CHANGES);
  assert.equal(told.more, 1_000 - MOST_CHANGES);
});

test("values that are very deep are compared as a whole", () => {
  const deep = (value: number) => {
    let at: unknown = value;
    for (let n = 0; n < 50; n++) at = { at };
    return at;
  };
  assert.equal(changes(deep(1), deep(2)).changes.length, 1);
});

test("a row stands under the rarest tag that it shares, and not under one that all have", () => {
  const store = new Store();
  store.apply(
    [
      event("web-1", ["prod", "web", "id:1"]),
      event("web-2", ["prod", "web", "id:2"]),
      event("db-1", ["prod", "db"]),
      event("db-2", ["prod", "db", "web"]),
      event("odd", ["prod"]),
    ],
    0,
  );
  const under = labels(tagsOf(store, false, false), "tag");
  assert.deepEqual(
    [...under],
    [
      ["web-1", "web"],
      ["web-2", "web"],
      ["db-1", "db"],
      ["db-2", "db"],
    ],
  );
  assert.deepEqual(prefixes(tagsOf(store, false, false)), ["id:"]);
  assert.deepEqual(
    [...labels(tagsOf(store, false, false), "id:")],
    [
      ["web-1", "1"],
      ["web-2", "2"],
    ],
  );
  const { names, heads } = grouped(["odd", "web-2", "db-1", "web-1"], under, true);
  assert.deepEqual(names, [undefined, "db-1", undefined, "web-2", "web-1", undefined, "odd"]);
  assert.deepEqual(
    [...heads],
    [
      [0, { label: "db", rows: 1 }],
      [2, { label: "web", rows: 2 }],
      [5, { label: UNTAGGED, rows: 1 }],
    ],
  );
});

test("attributes group rows too, where there are fewer groups than rows", () => {
  const store = new Store();
  const hosts = ["a", "b", "c", "d"].map((host, n) => ({
    ...event(host),
    role: n < 2 ? "web" : "db",
    serial: `${n}`,
  }));
  store.apply(hosts, 0);
  const tags = tagsOf(store, false, true);
  assert.deepEqual(prefixes(tags), ["role="]);
  assert.deepEqual([...labels(tags, "role=").values()], ["web", "web", "db", "db"]);
  assert.deepEqual([...labels(tagsOf(store, false, false), "role=")], []);
});

test("in the order of the worst, the group of the worst row comes first", () => {
  const under = new Map([
    ["a", "x"],
    ["b", "y"],
    ["c", "x"],
  ]);
  assert.deepEqual(grouped(["b", "a", "c"], under, false).names, [undefined, "b", undefined, "a", "c"]);
});
