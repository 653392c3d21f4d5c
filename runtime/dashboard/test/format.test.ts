// Numbers in few characters, and never wrong by a rounding.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  brief,
  bytes,
  compact,
  grouped,
  milliseconds,
  nanoseconds,
  percent,
  rate,
  span,
  timeOfDay,
} from "../src/logic/format.ts";

test("metrics keep four digits and lose their zeros", () => {
  const cases: [number | null, string][] = [
    [0, "0"],
    [-0, "0"],
    [1, "1"],
    [412, "412"],
    [9999, "9999"],
    [0.5, "0.5"],
    [0.042137, "0.04214"],
    [12.345, "12.35"],
    [12_800, "12.8k"],
    [999_499, "999k"],
    [999_500, "1M"],
    [3_400_000, "3.4M"],
    [7.25e9, "7.25G"],
    [2e12, "2T"],
    [1e15, "1.0e15"],
    [-3_400_000, "−3.4M"],
    [-0.25, "−0.25"],
    [1.2e-7, "1.2e−7"],
    [9999.7, "10k"],
    [Number.POSITIVE_INFINITY, "∞"],
    [Number.NaN, "NaN"],
    [null, "–"],
  ];
  for (const [value, text] of cases) assert.equal(compact(value), text);
});

test("a cell has room for three digits", () => {
  const cases: [number, string][] = [
    [0.79951, "0.8"],
    [0.36612, "0.366"],
    [48.461, "48.5"],
    [999.4, "999"],
    [999.6, "1k"],
    [4_231, "4.2k"],
    [9_999, "10k"],
    [84_000, "84k"],
    [-412.7, "−413"],
    [0, "0"],
  ];
  for (const [value, text] of cases) assert.equal(brief(value), text);
});

test("no metric in a cell is wider than eight characters", () => {
  let value = 1.000001e-12;
  while (value < 1e18) {
    for (const signed of [value, -value]) {
      assert.ok(brief(signed).length <= 8, `${signed} becomes ${brief(signed)}`);
      assert.ok(compact(signed).length <= 8, `${signed} becomes ${compact(signed)}`);
    }
    value *= 1.37;
  }
});

test("big counts have their digits in threes", () => {
  assert.equal(grouped(1_204_331), "1\u202f204\u202f331");
  assert.equal(grouped(999), "999");
  assert.equal(grouped(-1_000), "−1\u202f000");
});

test("rates have one place below ten", () => {
  assert.equal(rate(0), "0");
  assert.equal(rate(0.25), "0.3");
  assert.equal(rate(128_412), "128\u202f412");
  assert.equal(rate(8_240_000), "8.24M");
});

test("sizes go in steps of 1024", () => {
  assert.equal(bytes(912), "912 B");
  assert.equal(bytes(1_048_575), "1 MiB");
  assert.equal(bytes(1_572_864), "1.5 MiB");
  assert.equal(bytes(64 * 2 ** 20), "64 MiB");
});

test("nanoseconds become longer units", () => {
  assert.equal(nanoseconds(84.2), "84 ns");
  assert.equal(nanoseconds(1_234), "1.23 µs");
  assert.equal(nanoseconds(3_400_000), "3.4 ms");
  assert.equal(nanoseconds(null), "–");
});

test("lengths of time have two parts at most", () => {
  const cases: [number, string][] = [
    [-3, "0 s"],
    [0.42, "0.4 s"],
    [9.96, "10 s"],
    [59, "59 s"],
    [250, "4 m 10 s"],
    [3600, "1 h"],
    [10_925, "3 h 2 m"],
    [1_051_200, "12 d 4 h"],
  ];
  for (const [value, text] of cases) assert.equal(span(value), text);
});

test("the time of day is that of the zone that was asked for", () => {
  assert.equal(timeOfDay(Date.UTC(2024, 1, 3, 2, 51, 7), true), "02:51:07");
  assert.equal(timeOfDay(Number.NaN), "");
});

test("a share is in percent, and a little is not nothing", () => {
  const cases: [number, string][] = [
    [0, "0 %"],
    [0.0001, "< 0.1 %"],
    [0.004, "0.4 %"],
    [0.384, "38 %"],
    [1.8, "180 %"],
    [Number.NaN, "–"],
  ];
  for (const [value, expected] of cases) assert.equal(percent(value), expected);
});

test("milliseconds take the unit that suits them", () => {
  const cases: [number | null | undefined, string][] = [
    [0.0841, "84.1 µs"],
    [1.2, "1.2 ms"],
    [3_400, "3.4 s"],
    [null, "–"],
    [undefined, "–"],
  ];
  for (const [value, expected] of cases) assert.equal(milliseconds(value), expected);
});
