// Marks of axes: round numbers, round times.

import assert from "node:assert/strict";
import { test } from "node:test";
import { bounds, labeller, ticks, timeTicks } from "../src/logic/scale.ts";

test("marks are round numbers within the bounds", () => {
  assert.deepEqual(ticks(0, 1, 5), [0, 0.2, 0.4, 0.6, 0.8, 1]);
  assert.deepEqual(ticks(-3, 11, 4), [0, 5, 10]);
  assert.deepEqual(ticks(1e9, 1.04e9, 4), [1e9, 1.01e9, 1.02e9, 1.03e9, 1.04e9]);
  for (const [low, high] of [
    [0, 0],
    [1, 0],
    [0, Number.NaN],
    [0, Number.POSITIVE_INFINITY],
  ] as const) {
    assert.deepEqual(ticks(low, high, 5), []);
  }
});

test("marks that are close are told apart", () => {
  const label = (marks: number[]) => marks.map(labeller(marks));
  assert.deepEqual(label([0, 500, 1000]), ["0", "500", "1k"]);
  assert.deepEqual(label([0.999, 0.9995, 1]), ["0.999", "0.9995", "1"]);
  assert.deepEqual(label([100_000, 100_001]), ["100000", "100001"]);
});

test("there are never many more marks than there is room for", () => {
  for (let n = 0; n < 2_000; n++) {
    const low = (Math.sin(n) * 10 ** (n % 9)) / 7;
    const high = low + Math.abs(Math.cos(n) * 10 ** (n % 7)) + 1e-6;
    const found = ticks(low, high, 6);
    assert.ok(found.length <= 7, `${found.length} marks between ${low} and ${high}`);
    for (const mark of found)
      assert.ok(mark >= low - 1e-6 * Math.abs(low) && mark <= high + 1e-6 * Math.abs(high));
  }
});

test("times are round in UTC, and the day is said where it changes", () => {
  const at = Date.UTC(2026, 0, 31, 22, 7);
  const hours = timeTicks(at, at + 4 * 3_600_000, 6);
  assert.deepEqual(
    hours.map(({ label, day }) => `${label} ${day}`.trim()),
    ["23:00 01-31", "00:00 02-01", "01:00", "02:00"],
  );
  assert.deepEqual(
    timeTicks(at, at + 20_000, 5).map(({ label }) => label),
    ["22:07:00", "22:07:05", "22:07:10", "22:07:15", "22:07:20"],
  );
  assert.deepEqual(
    timeTicks(at, at + 5 * 86_400_000, 6).map(({ label }) => label),
    ["02-01", "02-02", "02-03", "02-04", "02-05"],
  );
  assert.deepEqual(timeTicks(at, at, 5), []);
});

test("an axis has zero in it when that is near, and room above", () => {
  assert.deepEqual(bounds([1, null, 3]), [0, 3.2]);
  const [low, high] = bounds([1000, 1001]);
  assert.ok(low > 990 && low < 1000 && high > 1001);
  assert.deepEqual(bounds([]), [0, 1]);
  assert.deepEqual(bounds([Number.NaN, null]), [0, 1]);
  assert.ok(bounds([-4, -4])[0] < -4);
});
