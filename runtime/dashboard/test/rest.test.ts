// Lists that forget, spans of errors, addresses, waits.

import assert from "node:assert/strict";
import { test } from "node:test";
import { changed, equals, moved, quoted, read, written } from "../src/logic/address.ts";
import { LONGEST_WAIT, patience } from "../src/logic/patience.ts";
import { Latest, Samples } from "../src/logic/ring.ts";
import { bytesAt, split, unitAt } from "../src/logic/span.ts";
import { GLYPHS, SEVERITY, STATES, stateOf } from "../src/logic/state.ts";

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
  for (const units of [0, 1, 2, 4])
    assert.equal(unitAt("é👍x", bytesAt("é👍x", units)), units === 2 ? 1 : units);
});

test("an address survives being written", () => {
  for (const hash of [
    "#/overview",
    "#/grid?q=host+%3D%7E+%22a%26b%3Dc%23%25%22&sort=worst",
    "#/stream?q=%E6%97%A5",
  ]) {
    assert.equal(written(read(hash)), hash);
  }
  assert.equal(read("#/grid?q=a%20%3F%20b&x=1?2").params.q, "a ? b");
  assert.equal(read("#/grid?q=a&x=1?2").params.x, "1?2");
});

test("nonsense in an address is as usual", () => {
  for (const hash of ["", "#", "#/", "#/nowhere?", "#nonsense"]) assert.equal(read(hash).view, "overview");
  assert.equal(read(`#/grid?q=${"x".repeat(50_000)}`).params.q?.length, 8_192);
  assert.deepEqual(Object.entries(read("#/grid?__proto__=x").params), [["__proto__", "x"]]);
});

test("going to another view takes the time span along, and the query only where it means the same", () => {
  const at = read("#/grid?q=x&sort=worst&from=-1h&theme=light&open=stream");
  assert.equal(written(moved(at, "stream")), "#/stream?q=x&from=-1h&theme=light");
  assert.equal(written(moved(at, "alerts", { alert: "a1" })), "#/alerts?from=-1h&theme=light&alert=a1");
  assert.equal(written(changed(at, { sort: null, q: "y" })), "#/grid?q=y&from=-1h&theme=light&open=stream");
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
