// What a backtest found, in the order in which it is shown: lanes of intervals, and rows for a spreadsheet.

import type { Interval, Report } from "../backtest/contract.ts";

/** Which version has an interval: both, only the rule that is tried, only the other. */
export type Change = "same" | "new" | "gone";

export interface Bar {
  from: number;
  /** Milliseconds, as `from`; where it still stood, the end of what was read. */
  until: number;
  open: boolean;
  state: string;
  change: Change;
}

/** All that was said of one host and service on one way. */
export interface Lane {
  id: string;
  to: string;
  host: string | null;
  service: string | null;
  rule: Bar[];
  against: Bar[];
}

const nameOf = ({ to, host, service }: Interval): string => JSON.stringify([to, host, service]);
const exactly = (interval: Interval): string =>
  JSON.stringify([nameOf(interval), interval.state, interval.from]);

/** From when to when was read, in milliseconds; of nothing, an hour up to now. */
export function range(report: Report, now: number): [number, number] {
  const [from, to] = [Date.parse(report.read.from ?? ""), Date.parse(report.read.to ?? "")];
  return Number.isNaN(from) || Number.isNaN(to) || to <= from ? [now - 3_600_000, now] : [from, to];
}

/** The lanes: those that differ first, then those that fired first. */
export function lanes(report: Report, end: number): Lane[] {
  const fresh = new Set(report.differences?.fired.new.map(exactly));
  const gone = new Set(report.differences?.fired.gone.map(exactly));
  const found = new Map<string, Lane>();
  const take = (interval: Interval, side: "rule" | "against") => {
    const id = nameOf(interval);
    const { to, host, service, state } = interval;
    const lane = found.get(id) ?? { id, to, host, service, rule: [], against: [] };
    found.set(id, lane);
    const only = side === "rule" ? fresh : gone;
    lane[side].push({
      from: Date.parse(interval.from),
      until: interval.until === null ? end : Date.parse(interval.until),
      open: interval.until === null,
      state,
      change: only.has(exactly(interval)) ? (side === "rule" ? "new" : "gone") : "same",
    });
  };
  for (const interval of report.rule.fired.intervals) take(interval, "rule");
  for (const interval of report.against?.fired.intervals ?? []) take(interval, "against");
  const differs = ({ rule, against }: Lane) => [...rule, ...against].some(({ change }) => change !== "same");
  const first = ({ rule, against }: Lane) => Math.min(...[...rule, ...against].map(({ from }) => from));
  return [...found.values()].sort((a, b) => Number(differs(b)) - Number(differs(a)) || first(a) - first(b));
}

const quoted = (text: string | null): string =>
  text === null ? "" : /[",\n\r]/u.test(text) ? `"${text.replaceAll('"', '""')}"` : text;

/** All intervals as CSV, one in each line. */
export function csv(report: Report): string {
  const fresh = new Set(report.differences?.fired.new.map(exactly));
  const gone = new Set(report.differences?.fired.gone.map(exactly));
  const rows = [["which", "change", "to", "host", "service", "state", "from", "until"]];
  const add = (which: string, interval: Interval, change: Change | "") => {
    const { to, host, service, state, from, until } = interval;
    rows.push([which, change, to, host ?? "", service ?? "", state, from, until ?? ""]);
  };
  const compared = report.against !== null;
  for (const one of report.rule.fired.intervals)
    add(report.rule.version, one, compared ? (fresh.has(exactly(one)) ? "new" : "same") : "");
  for (const one of report.against?.fired.intervals ?? [])
    add(report.against?.version ?? "", one, gone.has(exactly(one)) ? "gone" : "same");
  return `${rows.map((row) => row.map(quoted).join(",")).join("\r\n")}\r\n`;
}

/** What the other version is called: by its number, unless that is the same. */
export function otherOf({ rule, against }: Report): string {
  return against === null || against.version === rule.version ? "the other" : against.version;
}

/** What came out, in a sentence. */
export function sentence(report: Report): string {
  const { rule, against, differences } = report;
  const times = (count: number) => (count === 1 ? "once" : `${count} times`);
  const said =
    rule.fired.count === 0 ? "It would not have fired" : `It would have fired ${times(rule.fired.count)}`;
  if (against === null || differences === null) return `${said}.`;
  const { new: fresh, gone } = differences.fired;
  const other = otherOf(report);
  if (fresh.length > 0 || gone.length > 0) {
    const before = against.fired.count === 0 ? "did not" : times(against.fired.count);
    return `${said}; ${other} ${before}. ${fresh.length} new, ${gone.length} gone.`;
  }
  const { only_rule, only_against } = differences.effects;
  return only_rule + only_against === 0
    ? `${said}, just as ${other}: they do not differ.`
    : `${said}, at the same times as ${other}, with other words.`;
}
