// The course of a stream over time, asked of the server and remembered for a moment.

import { get } from "./api.ts";
import type { History } from "./contract.ts";
import type { Name } from "./logic/names.ts";

/** How long a course is good for, in milliseconds. */
const GOOD = 10_000;

/** Courses that are remembered. */
const MOST = 64;

/** Points of a line in a tooltip. */
const POINTS = 90;

const known = new Map<string, { at: number; values: Float64Array }>();

/** What a question for a history says. */
export const questionOf = (host: Name, service: Name) => ({ host, service });

/** The metric over the last quarter of an hour, oldest first; NaN where there was none. */
export async function course(host: Name, service: Name, signal: AbortSignal): Promise<Float64Array> {
  const key = JSON.stringify([host, service]);
  const before = known.get(key);
  if (before !== undefined && Date.now() - before.at < GOOD) return before.values;
  const history = await get<History>("history", {
    query: { ...questionOf(host, service), from: "-15m", points: POINTS },
    signal,
  });
  const values = new Float64Array(POINTS).fill(Number.NaN);
  const from = Date.parse(history.from);
  const length = Math.max(1, Date.parse(history.to) - from);
  for (const [at, , , last] of history.points) {
    const n = Math.min(POINTS - 1, Math.floor(((at - from) / length) * POINTS));
    if (n >= 0 && last !== null) values[n] = last;
  }
  // Events come more rarely than points do: between them the line holds.
  let held = Number.NaN;
  for (const [n, value] of values.entries()) {
    if (Number.isNaN(value)) values[n] = held;
    else held = value;
  }
  if (known.size >= MOST) known.delete(known.keys().next().value ?? "");
  known.set(key, { at: Date.now(), values });
  return values;
}
