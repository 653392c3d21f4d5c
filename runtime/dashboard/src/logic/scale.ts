// Where the marks of an axis stand: round numbers, and round times in UTC.

import { brief, compact } from "./format.ts";

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** Round numbers between two bounds, at most `most` or so. */
export function ticks(low: number, high: number, most: number): number[] {
  const length = high - low;
  if (!(length > 0) || !Number.isFinite(length) || most < 1) return [];
  const rough = length / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 5, 10].find((times) => times * power >= rough * 0.999) ?? 10) * power;
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  // Multiples, and not sums, so that the tenth of ten tenths is one.
  return Array.from({ length: last - first + 1 }, (_, n) => Number(((first + n) * step).toPrecision(12)));
}

/** Writes marks as short as they can be told apart. */
export function labeller(marks: readonly number[]): (value: number) => string {
  const apart = (label: (value: number) => string) => new Set(marks.map(label)).size === marks.length;
  return [brief, compact].find(apart) ?? String;
}

const STEPS: readonly number[] = [
  ...[1, 2, 5, 10, 15, 30].map((n) => n * SECOND),
  ...[1, 2, 5, 10, 15, 30].map((n) => n * MINUTE),
  ...[1, 2, 3, 6, 12].map((n) => n * HOUR),
  ...[1, 2, 7, 14, 28, 91, 365].map((n) => n * DAY),
];

export interface Tick {
  at: number;
  label: string;
  /** The day, where it is another than that of the tick before. */
  day: string;
}

/** Round times between two moments, at most `most` or so. */
export function timeTicks(from: number, to: number, most: number): Tick[] {
  if (!(to > from) || most < 1) return [];
  const step = STEPS.find((each) => (to - from) / each <= most) ?? (STEPS.at(-1) as number);
  const found: Tick[] = [];
  let before = "";
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) {
    const iso = new Date(at).toISOString();
    const day = iso.slice(5, 10);
    const label = step >= DAY ? day : iso.slice(11, step < MINUTE ? 19 : 16);
    found.push({ at, label, day: step >= DAY || day === before ? "" : day });
    before = day;
  }
  return found;
}

/** The bounds of an axis for these values: zero is in it when it is near, and there is room at both ends. */
export function bounds(values: Iterable<number | null>): [number, number] {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of values) {
    if (value === null || !Number.isFinite(value)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low > high) return [0, 1];
  const length = high - low || Math.abs(high) || 1;
  const floor = low >= 0 && low < length * 2 ? 0 : low - length * 0.12;
  return [floor, high + length * 0.1];
}
