// Events per second of each rule over the last minutes, as far as this page has seen them.

import type { Rule } from "../contract.ts";
import { Samples } from "../logic/ring.ts";

/** Samples of a course, and rules that have one. */
const LENGTH = 60;
const MOST = 500;

const courses = new Map<string, Samples>();

/** Takes in a list that was just heard. */
export function learn(rules: readonly Rule[]): void {
  for (const { name, events_per_second } of rules) {
    let course = courses.get(name);
    if (course === undefined) {
      if (courses.size >= MOST) courses.delete(courses.keys().next().value ?? "");
      course = new Samples(LENGTH);
      courses.set(name, course);
    }
    course.push(events_per_second);
  }
}

/** Fewer samples than this are drawn as wide as this many. */
const FEWEST = 15;

/** The course as an outline for an SVG of this size, and the ground under it; empty until there are two samples. */
export function outline(name: string, width: number, height: number): { line: string; area: string } {
  const values = courses.get(name)?.begun(FEWEST);
  if (values === undefined) return { line: "", area: "" };
  let most = 0;
  for (const value of values) most = Math.max(most, Number.isNaN(value) ? 0 : value);
  const points: [string, string][] = [];
  values.forEach((value, n) => {
    if (Number.isNaN(value)) return;
    const x = (n / (values.length - 1)) * width;
    const y = most > 0 ? height - 1 - (value / most) * (height - 2) : height - 1;
    points.push([x.toFixed(1), y.toFixed(1)]);
  });
  const [first, last] = [points[0], points.at(-1)];
  if (first === undefined || last === undefined || points.length < 2) return { line: "", area: "" };
  const line = `M${points.map(([x, y]) => `${x} ${y}`).join("L")}`;
  return { line, area: `${line}L${last[0]} ${height}L${first[0]} ${height}Z` };
}
