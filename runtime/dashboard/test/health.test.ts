// How inputs and outputs do: what was lost lately, and what was lost long ago.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Input, Output } from "../src/contract.ts";
import { Losses, ofInput, ofOutput, RECENT } from "../src/logic/health.ts";

const NOW = Date.UTC(2024, 0, 1);

const input = (more: Partial<Input>) =>
  ({ name: "tcp", received: 9, rejected: 0, shed: 0, per_second: 1, ...more }) as Input;

const output = (more: Partial<Output>) =>
  ({
    name: "out",
    status: "ok",
    dropped: 0,
    failed: 0,
    queued: 0,
    capacity: 10,
    per_second: 1,
    ...more,
  }) as Output;

test("an input is in trouble while it refuses events, and for a while after", () => {
  const losses = new Losses();
  const at = (rejected: number, now: number) => ofInput(input({ rejected }), losses, now);
  assert.deepEqual([at(5, NOW).state, at(5, NOW).note], ["ok", "5 refused"]);
  assert.equal(at(6, NOW + 1_000).state, "warning");
  assert.equal(at(6, NOW + RECENT).state, "warning");
  assert.equal(at(6, NOW + 1_000 + RECENT).state, "ok");
  // A node that was started again counts from the start.
  assert.equal(at(1, NOW + 2 * RECENT).state, "ok");
  assert.equal(at(2, NOW + 2 * RECENT).state, "warning");
});

test("inputs and outputs of one name are not taken for each other", () => {
  const losses = new Losses();
  ofInput(input({ name: "x", rejected: 1 }), losses, NOW);
  assert.equal(ofOutput(output({ name: "x", dropped: 7 }), losses, NOW).state, "ok");
});

test("an output is as bad as what it says of itself, what waits and what it lost lately", () => {
  const state = (more: Partial<Output>) => ofOutput(output(more), new Losses(), NOW).state;
  assert.equal(state({}), "ok");
  assert.equal(state({ status: "failing" }), "critical");
  assert.equal(state({ status: "connecting" }), "warning");
  assert.equal(state({ queued: 6 }), "warning");
  assert.equal(state({ status: "idle" }), "none");
});
