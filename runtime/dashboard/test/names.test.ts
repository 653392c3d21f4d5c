// Names: cut where they agree, harmless wherever they come from, short enough for their place.

import assert from "node:assert/strict";
import { test } from "node:test";
import { byName, clean, cleanText, common, fitted, shortened, shown, wrapped } from "../src/logic/names.ts";

const letters = (text: string) => [...text].length;

test("what all names begin with is cut at a separator", () => {
  const names = ["api-server-01", "api-server-02", "api-server-10"];
  assert.deepEqual(common(names), { prefix: "api-server-", suffix: "" });
  assert.deepEqual(
    names.map((name) => shortened(name, common(names))),
    ["01", "02", "10"],
  );
});

test("what all names end with is cut too", () => {
  const names = ["web-1.fra1.example.net", "db-1.fra1.example.net"];
  assert.deepEqual(common(names), { prefix: "", suffix: ".fra1.example.net" });
  assert.deepEqual(
    names.map((name) => shortened(name, common(names))),
    ["web-1", "db-1"],
  );
});

test("a cut never falls inside a word", () => {
  assert.deepEqual(common(["webserver", "webmail"]), { prefix: "", suffix: "" });
});

test("one name that is different does not keep the others long", () => {
  const names = ["vm", "web-1.example.net", "web-2.example.net", "db-1.example.net", "db-2.example.net"];
  assert.deepEqual(common(names), { prefix: "", suffix: ".example.net" });
  assert.deepEqual(
    names.map((name) => shortened(name, common(names))),
    ["vm", "web-1", "web-2", "db-1", "db-2"],
  );
});

test("names that differ stay different when cut, and nothing is cut away whole", () => {
  const cases = [
    ["web-1", "web-1.example.net", "web-2.example.net", "web-3.example.net", "web-4.example.net"],
    ["api-", "api-1"],
    ["a.b.c", "a.b.c.b.c"],
    ["", "api-1", "api-2", "api-3"],
    ["prod.", "prod.prod."],
    ["aaa-aaa", "aaa-aaa-aaa"],
    [".example.net", "a.example.net", "b.example.net"],
  ];
  for (const names of cases) {
    const labels = names.map((name) => shortened(name, common(names)));
    assert.equal(new Set(labels).size, names.length, JSON.stringify([names, labels]));
    assert.ok(labels.every((label, n) => label !== "" && (label !== "(empty)" || names[n] === "")));
  }
});

test("one name alone keeps all it has, and a missing one does not count", () => {
  assert.deepEqual(common(["api-server-01"]), { prefix: "", suffix: "" });
  assert.deepEqual(common(["api-server-01", null, "api-server-02"]), { prefix: "api-server-", suffix: "" });
  assert.equal(shortened(null, { prefix: "api-server-", suffix: "" }), "(none)");
});

test("a cut of two characters is not worth it", () => {
  assert.deepEqual(common(["a-1", "a-2"]), { prefix: "", suffix: "" });
});

test("names are ordered as people count, the missing one last", () => {
  assert.deepEqual(["web-10", null, "web-2", "Web-1", "db"].sort(byName), [
    "db",
    "Web-1",
    "web-2",
    "web-10",
    null,
  ]);
});

test("names that a reader would take for one another still have an order", () => {
  assert.notEqual(byName("web-01", "web-1"), 0);
  assert.equal(Math.sign(byName("web-01", "web-1")), -Math.sign(byName("web-1", "web-01")));
});

test("characters that act on what stands around them become visible", () => {
  assert.equal(clean("a\u202eb\u2066c\u0000d\u200be\ufefff"), "a\ufffdb\ufffdc\ufffdd\ufffde\ufffdf");
  assert.equal(clean("a\nb\tc"), "a b c");
  assert.equal(clean("x\ud800y"), "x\ufffdy");
  assert.equal(clean("👍"), "👍");
});

test("marks do not pile up", () => {
  assert.equal(clean(`z${"\u0301".repeat(50)}!`), `z${"\u0301".repeat(3)}!`);
});

test("very long names are cut before anybody measures them", () => {
  assert.equal(clean("x".repeat(5_000)).length, 301);
  assert.ok(cleanText("x".repeat(50_000)).length <= 10_000);
});

test("longer texts keep their lines", () => {
  assert.equal(cleanText("panicked at src/lib.rs:1:2:\noh\u0007"), "panicked at src/lib.rs:1:2:\noh\ufffd");
});

test("missing and empty names differ", () => {
  assert.equal(shown(null), "(none)");
  assert.equal(shown(""), "(empty)");
});

test("the middle goes first when a name has no room", () => {
  assert.equal(fitted("api latency p99", 9, letters), "api … p99");
  assert.equal(fitted("short", 5, letters), "short");
  assert.equal(fitted("long one", 1, letters), "…");
  assert.equal(fitted("long one", 0, letters), "");
});

test("a name breaks into two lines of nearly the same width", () => {
  assert.deepEqual(wrapped("cache hit ratio", letters), ["cache hit", "ratio"]);
  assert.deepEqual(wrapped("connections", letters), ["connections"]);
  assert.deepEqual(wrapped("queue-depth", letters), ["queue-", "depth"]);
});
