import assert from "node:assert/strict";
import { test } from "node:test";
import type { Interval, Outcome, Report } from "../src/backtest/contract.ts";
import { csv, lanes, range, sentence } from "../src/logic/backtest.ts";

const interval = (host: string, from: number, until: number | null, to = "pager"): Interval => ({
  to,
  host,
  service: "http, get",
  state: "critical",
  from: new Date(from * 1000).toISOString(),
  until: until === null ? null : new Date(until * 1000).toISOString(),
});

const outcome = (version: string, intervals: Interval[]): Outcome => ({
  name: "slow",
  version,
  module: "1",
  query: "true",
  per: "stream",
  set: {},
  wanted: 10,
  keys: { last: 1, most: 1, over: 0 },
  effects: { stream: 0, outputs: { pager: 2 }, log: 0, cut: {} },
  fired: { count: intervals.length, standing: 0, untracked: 0, intervals },
  faults: { count: 0, skipped: 0, first: [] },
  instructions: null,
});

/** Two versions: of the first's intervals the later is new, of the other's one is gone. */
function compared(): Report {
  const [same, fresh] = [interval("a", 10, 20), interval("b", 60, null)];
  const [before, gone] = [interval("a", 12, 22), interval("c", 30, 40)];
  return {
    schema: 1,
    read: {
      kind: "log",
      from: "1970-01-01T00:00:00.000Z",
      to: "1970-01-01T00:01:40.000Z",
      batches: 1,
      events: 100,
      late: { events: 0 },
      missing: 0,
      damaged: 0,
    },
    rule: outcome("2.0.0", [same, fresh]),
    against: outcome("1.0.0", [before, gone]),
    differences: {
      fired: { same: 1, new: [fresh], gone: [gone] },
      effects: { same: 1, only_rule: 1, only_against: 1, first: [] },
    },
  };
}

test("lanes that differ come first, and say in what", () => {
  const report = compared();
  const [from, to] = range(report, 0);
  assert.deepEqual([from, to], [0, 100_000]);
  const found = lanes(report, to);
  assert.deepEqual(
    found.map(({ host, rule, against }) => [
      host,
      rule.map(({ change }) => change),
      against.map(({ change }) => change),
    ]),
    [
      ["c", [], ["gone"]],
      ["b", ["new"], []],
      ["a", ["same"], ["same"]],
    ],
  );
  const [standing] = found[1]?.rule ?? [];
  assert.deepEqual([standing?.from, standing?.until, standing?.open], [60_000, 100_000, true]);
});

test("each way that a rule speaks has lanes of its own", () => {
  const report = { ...compared(), against: null, differences: null };
  report.rule = outcome("2.0.0", [interval("a", 1, 2), interval("a", 1, 2, "board")]);
  assert.equal(lanes(report, 100_000).length, 2);
});

test("as CSV every interval is a line, and what has a comma is quoted", () => {
  const lines = csv(compared()).trim().split("\r\n");
  assert.deepEqual(lines, [
    "which,change,to,host,service,state,from,until",
    '2.0.0,same,pager,a,"http, get",critical,1970-01-01T00:00:10.000Z,1970-01-01T00:00:20.000Z',
    '2.0.0,new,pager,b,"http, get",critical,1970-01-01T00:01:00.000Z,',
    '1.0.0,same,pager,a,"http, get",critical,1970-01-01T00:00:12.000Z,1970-01-01T00:00:22.000Z',
    '1.0.0,gone,pager,c,"http, get",critical,1970-01-01T00:00:30.000Z,1970-01-01T00:00:40.000Z',
  ]);
});

test("what came out is told in a sentence", () => {
  const report = compared();
  assert.equal(sentence(report), "It would have fired 2 times; 1.0.0 2 times. 1 new, 1 gone.");
  assert.equal(sentence({ ...report, against: null, differences: null }), "It would have fired 2 times.");
  const none = { ...report, rule: outcome("2.0.0", []), against: null, differences: null };
  assert.equal(sentence(none), "It would not have fired.");
  const effects = { same: 4, only_rule: 0, only_against: 0, first: [] };
  const alike = { ...report, differences: { fired: { same: 2, new: [], gone: [] }, effects } };
  assert.equal(sentence(alike), "It would have fired 2 times, just as 1.0.0: they do not differ.");
  const worded = { ...alike, differences: { ...alike.differences, effects: { ...effects, only_rule: 1 } } };
  assert.match(sentence(worded), /with other words\.$/u);
  const itself = { ...alike, against: outcome("2.0.0", [interval("a", 10, 20)]) };
  assert.match(sentence(itself), /just as the other/u);
});

test("nothing read is an hour up to now", () => {
  const report = compared();
  const empty = { ...report, read: { ...report.read, from: null, to: null } };
  assert.deepEqual(range(empty, 10_000_000), [6_400_000, 10_000_000]);
});
