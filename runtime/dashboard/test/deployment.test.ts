import assert from "node:assert/strict";
import { test } from "node:test";
import { about, asked, begun, beside, places, usualName } from "../src/logic/deployment.ts";
import type { Manifest, Parameter } from "../src/rules/contract.ts";

const parameter = (name: string, type: Parameter["type"], usual: string | null): Parameter => ({
  name,
  type,
  doc: "",
  default: usual,
  required: usual === null,
});

const MANIFEST: Manifest = {
  module: "b3:1",
  name: "latency_state",
  version: "1.0.0",
  query: "true",
  per: "stream",
  bytes: 1,
  parameters: [parameter("limit_ms", "number", null), parameter("every", "span", "5s")],
  outputs: [
    { name: "board", doc: "", many: false },
    { name: "pager", doc: "", many: false },
  ],
  schema: 1,
  limits: {},
  sdk: "0.1.0",
  imports: [],
  running: null,
};

const RUNNING = {
  generation: 7,
  version: "0.9.0",
  changes: [
    { what: "query", from: 'service = "a"', to: "true" },
    { what: "per", from: "host", to: "stream" },
  ],
  set: { limit_ms: "250", every: "10s" },
  outputs: { board: "live", pager: "mail" },
};

test("a new rule begins as its module says, and only what differs from that is asked for", () => {
  const wish = begun(MANIFEST, "latency-state", "live");
  assert.deepEqual(wish.set, { limit_ms: "", every: "5s" });
  assert.deepEqual(asked(wish, MANIFEST), { "to.board": "live", "to.pager": "live" });
  wish.set.limit_ms = "250";
  wish.query = ' service = "b" ';
  assert.deepEqual(asked(wish, MANIFEST), {
    query: 'service = "b"',
    "set.limit_ms": "250",
    "to.board": "live",
    "to.pager": "live",
  });
});

test("what runs keeps its settings", () => {
  const manifest = { ...MANIFEST, running: RUNNING };
  assert.deepEqual(asked(begun(manifest, "latency-state", "live"), manifest), {
    query: 'service = "a"',
    per: "host",
    "set.limit_ms": "250",
    "set.every": "10s",
    "to.board": "live",
    "to.pager": "mail",
  });
});

test("a trial leaves alone what only a deployment may do", () => {
  const wish = { ...begun(MANIFEST, "x", "live"), resetState: true, backfill: "2h", watch: "5m" };
  const asks = (how: "replace" | "canary" | "shadow") => asked({ ...wish, how, to: {} }, MANIFEST);
  assert.deepEqual(asks("replace"), { watch: "5m", reset_state: "true", backfill: "2h" });
  assert.deepEqual(asks("canary"), { canary: "5", watch: "5m" });
  assert.deepEqual(asks("shadow"), { shadow: "true", watch: "5m" });
});

test("what runs keeps outputs beside those that the module declares", () => {
  const manifest: Manifest = {
    ...MANIFEST,
    outputs: [{ name: "main", doc: "", many: true }],
    running: { ...RUNNING, outputs: { main: "live", tell: "mail" } },
  };
  assert.deepEqual(begun(manifest, "x", "live").to, { main: "live", tell: "mail" });
});

test("a refusal is told beside its field", () => {
  const cases: [string, string | null, string][] = [
    [
      'parameter limit_ms: a number was expected, found "many". Its limit.',
      "set.limit_ms",
      'a number was expected, found "many". Its limit.',
    ],
    ["parameter limit_ms (number) is missing: Its limit.", "set.limit_ms", "Its limit."],
    ["parameter `watch`: a span was expected", "watch", "a span was expected"],
    [
      '--to pager=nobody: there is no output "nobody"; there are live',
      "to.pager",
      'there is no output "nobody"; there are live',
    ],
    ["the query: `=` was expected", "query", "`=` was expected"],
    [
      "a key is one of stream, host, service, whole or attribute:NAME",
      "per",
      "a key is one of stream, host, service, whole or attribute:NAME",
    ],
    ["a rule's name is 1 to 64 of a-z", "name", "a rule's name is 1 to 64 of a-z"],
    ["the module is broken", null, "the module is broken"],
  ];
  for (const [message, field, text] of cases) {
    assert.equal(about(message), field, message);
    assert.equal(beside(message), text);
  }
});

test("places in the source stand out of a message", () => {
  assert.deepEqual(places("panicked at src/lib.rs:87:34:\nindex"), [
    "panicked at ",
    "src/lib.rs:87:34",
    ":\nindex",
  ]);
  assert.deepEqual(places("no place"), ["no place"]);
  assert.deepEqual(places("at a-b/src/x_y.rs:7 and z.rs:1:2"), [
    "at ",
    "a-b/src/x_y.rs:7",
    " and ",
    "z.rs:1:2",
    "",
  ]);
});

test("a rule is usually called as its module", () =>
  assert.equal(usualName("Latency_State"), "latency-state"));
