// Lists that forget, spans of errors, addresses, waits.

import assert from "node:assert/strict";
import { test } from "node:test";
import { LONGEST_WAIT, patience } from "../src/logic/patience.ts";
import { Latest, Samples } from "../src/logic/ring.ts";
import { split, unitAt } from "../src/logic/span.ts";
import { GLYPHS, SEVERITY, STATES, stateOf } from "../src/logic/state.ts";
import { equals, PLAIN, quoted, read, type View, written } from "../src/logic/view.ts";

test("the latest items are kept, newest first, and all are counted", () => {
  const latest = new Latest<string>(3);
  latest.add(["a", "b"]);
  latest.add(["c", "d"]);
  assert.deepEqual(
    latest.items.map(({ item }) => item),
    ["d", "c", "b"],
  );
  assert.deepEqual(
    latest.items.map(({ id }) => id),
    [3, 2, 1],
  );
  assert.equal(latest.total, 4);
});

test("one frame with more than fits keeps its end", () => {
  const latest = new Latest<number>(200);
  latest.add(Array.from({ length: 1_000 }, (_, n) => n));
  assert.equal(latest.items.length, 200);
  assert.equal(latest.items[0]?.item, 999);
});

test("samples move on and the gap stays a gap", () => {
  const samples = new Samples(4);
  for (const value of [1, Number.NaN, 3]) samples.push(value);
  assert.deepEqual([...samples.values], [Number.NaN, 1, Number.NaN, 3]);
  assert.equal(samples.max(), 3);
  assert.equal(samples.begun(1).length, 3);
  assert.equal(samples.begun(4).length, 4);
  assert.equal(new Samples(5).begun(2).length, 2);
});

test("a span in bytes finds its letters", () => {
  const query = 'host = "träger-日本" AND x';
  const start = new TextEncoder().encode(query.slice(0, query.indexOf("AND"))).length;
  assert.deepEqual(split(query, [start, start + 3]), ['host = "träger-日本" ', "AND", " x"]);
});

test("spans at the end, beyond it and through a letter harm nobody", () => {
  assert.deepEqual(split("abc", [3, 3]), ["abc", "", ""]);
  assert.deepEqual(split("abc", [1, 99]), ["a", "bc", ""]);
  assert.deepEqual(split("abc", [2, 1]), ["ab", "", "c"]);
  assert.equal(unitAt("é", 1), 0);
  assert.equal(unitAt("👍x", 4), 2);
  assert.deepEqual(split("abc", undefined), ["abc", "", ""]);
});

test("a view survives its address", () => {
  const views: View[] = [
    PLAIN,
    { query: 'host =~ "a&b=c#%" and x', order: "worst", turned: true, size: "small", node: true },
    { query: "日本 + = \n", order: "name", turned: false, size: "large", node: false },
  ];
  for (const view of views) assert.deepEqual(read(`#${written(view)}`), view);
  assert.equal(written(PLAIN), "");
});

test("nonsense in an address is as usual", () => {
  assert.deepEqual(read("#size=huge&sort=9&turned=yes&q"), PLAIN);
  assert.equal(read(`#q=${"x".repeat(50_000)}`).query.length, 8_192);
});

test("names become texts of the query language", () => {
  assert.equal(quoted('say "hi"\\\n'), '"say \\"hi\\"\\\\\\n"');
  assert.equal(equals("host", null), "host = nil");
  assert.equal(equals("host", "a"), 'host = "a"');
});

test("waits double up to a bound and differ between pages", () => {
  assert.equal(patience(1, 1), 500);
  assert.equal(patience(3, 1), 2_000);
  assert.equal(patience(1_000, 1), LONGEST_WAIT);
  assert.ok(patience(1, 0) < patience(1, 1));
});

test("every state has a shape and a rank, and other texts are other", () => {
  assert.equal(new Set(STATES.map((state) => GLYPHS[state])).size, STATES.length);
  assert.equal(new Set(STATES.map((state) => SEVERITY[state])).size, STATES.length);
  assert.deepEqual(
    ["ok", "deploying", null, ""].map((state) => stateOf({ state })),
    ["ok", "other", "none", "none"],
  );
});
