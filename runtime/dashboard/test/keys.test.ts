// Keys and sequences, the messages of a stream, moments.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Keys, SEQUENCE } from "../src/logic/keys.ts";
import { Parser } from "../src/logic/sse.ts";
import { fieldOf, isMoment, moment, ofField } from "../src/logic/time.ts";

function keyboard() {
  const done: string[] = [];
  const keys = new Keys();
  const press = (key: string, at: number) => {
    const meant = keys.press(key, at);
    if (typeof meant === "object") meant.act();
    return typeof meant === "object" ? "done" : meant;
  };
  const bind = (name: string, ...names: string[]) =>
    keys.add({ name, bindings: names.map((key) => ({ keys: key, act: () => done.push(`${name} ${key}`) })) });
  return { done, keys, press, bind };
}

test("a sequence acts at its second key", () => {
  const { done, press, bind } = keyboard();
  bind("go", "g o", "g a");
  assert.equal(press("g", 0), "pending");
  assert.equal(press("a", 100), "done");
  assert.deepEqual(done, ["go g a"]);
});

test("a sequence that takes too long is forgotten, and its second key is a key of its own", () => {
  const { done, press, bind } = keyboard();
  bind("go", "g a");
  bind("alerts", "a");
  press("g", 0);
  assert.equal(press("a", SEQUENCE + 1), "done");
  assert.deepEqual(done, ["alerts a"]);
});

test("a second key that ends no sequence acts by itself", () => {
  const { done, press, bind } = keyboard();
  bind("go", "g a");
  bind("all", "x");
  press("g", 0);
  assert.equal(press("x", 1), "done");
  assert.deepEqual(done, ["all x"]);
});

test("the key that came last wins, until it is taken out", () => {
  const { done, press, bind } = keyboard();
  bind("page", "Escape");
  const remove = bind("view", "Escape");
  press("Escape", 0);
  remove();
  press("Escape", 1);
  assert.deepEqual(done, ["view Escape", "page Escape"]);
});

test("a key that means nothing now leaves it to those below", () => {
  const { done, keys, press, bind } = keyboard();
  bind("page", "Escape");
  keys.add({
    name: "view",
    bindings: [{ keys: "Escape", act: () => done.push("never"), when: () => false }],
  });
  assert.equal(press("Escape", 0), "done");
  assert.equal(press("q", 1), "unknown");
  assert.deepEqual(done, ["page Escape"]);
});

test("messages are the same however their bytes are cut", () => {
  const text =
    ': hello\r\n\r\nevent: delta\nid: 7-1\ndata: {"a":\ndata: 1}\n\nid:7-2\rdata:x\r\revent: none\n\n';
  for (let size = 1; size <= text.length; size++) {
    const parser = new Parser();
    const messages = [];
    for (let at = 0; at < text.length; at += size) messages.push(...parser.take(text.slice(at, at + size)));
    assert.deepEqual(
      messages,
      [
        { name: "delta", data: '{"a":\n1}' },
        { name: "message", data: "x" },
      ],
      `cut to ${size}`,
    );
    assert.equal(parser.last, "7-2");
  }
});

test("moments are told relative to now, or in full with a zone", () => {
  const now = Date.UTC(2026, 0, 2, 3, 4, 5);
  assert.equal(moment("-15m", now), now - 900_000);
  assert.equal(moment("-2d", now), now - 172_800_000);
  assert.equal(moment("now", now), now);
  assert.equal(moment("2026-01-02T03:04:05Z", 0), now);
  for (const text of ["yesterday", "15m", "-15", "-x", "2026-01-02T03:04:05", "1"])
    assert.equal(isMoment(text), false);
  assert.equal(ofField(fieldOf(now)), "2026-01-02T03:04:00Z");
});
