// What a backtest found: in a sentence, in figures, over the metric, and line by line.

import { useEffect, useMemo, useState } from "preact/hooks";
import { Failed, send, useGet } from "../api.ts";
import { csv, type Lane, lanes, range, sentence } from "../logic/backtest.ts";
import { compact, grouped, percent, span, timeOfDay } from "../logic/format.ts";
import { clean, cleanText, shown } from "../logic/names.ts";
import { stateOf } from "../logic/state.ts";
import { serverNow } from "../page.ts";
import { Glyph } from "../parts/glyph.tsx";
import { notify } from "../parts/notice.tsx";
import { Line } from "../rules/log.tsx";
import { Lanes } from "./chart.tsx";
import type { Backtest, Interval, Outcome, Report } from "./contract.ts";

/** Rows of a list at most. */
const ROWS = 200;

export function Result({ id, ended }: { id: string; ended: () => void }) {
  const [done, setDone] = useState(false);
  const { data, error } = useGet<Backtest>(`backtests/${encodeURIComponent(id)}`, {}, done ? 0 : 600);
  const over = data !== null && data.status !== "waiting" && data.status !== "running";
  useEffect(() => {
    setDone(over);
    if (over) ended();
  }, [over]);
  if (data === null)
    return <p class="quiet pad">{error === null ? "Asking for the backtest…" : clean(error.message)}</p>;
  if (!over) return <Progress backtest={data} />;
  if (data.report === null || data.report === undefined || data.status !== "done")
    return (
      <div class="calm">
        <h3>{data.status === "cancelled" ? "Cancelled" : "It failed"}</h3>
        {data.error !== null && <p class="complaint">{cleanText(data.error)}</p>}
      </div>
    );
  return <Found report={data.report} id={id} />;
}

function Progress({ backtest: { id, status, progress } }: { backtest: Backtest }) {
  const cancel = () =>
    send("DELETE", `backtests/${encodeURIComponent(id)}`).catch((error: unknown) =>
      notify(error instanceof Failed ? error.message : String(error), true),
    );
  return (
    <div class="calm">
      <h3>{status === "waiting" ? "Waiting for its turn" : `${percent(progress)} read`}</h3>
      <progress max={1} value={progress} aria-label="How much of the log is read" />
      <button type="button" class="tool" onClick={cancel}>
        cancel
      </button>
    </div>
  );
}

/** Gives the browser a file. */
function save(name: string, type: string, text: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function Found({ report, id }: { report: Report; id: string }) {
  const [now] = useState(() => serverNow());
  const whole = useMemo(() => range(report, now), [report]);
  const all = useMemo(() => lanes(report, whole[1]), [report]);
  const [lane, setLane] = useState<Lane | null>(all[0] ?? null);
  const { rule, against, differences } = report;
  const name = `backtest-${clean(rule.name)}-${id}`;
  return (
    <div class="found">
      <div class="found-head">
        <h3>{sentence(report)}</h3>
        <p class="quiet">
          {clean(rule.name)} {clean(rule.version)}
          {against !== null && (
            <>
              {" "}
              against {clean(against.name)} {clean(against.version)}
            </>
          )}
          , {grouped(report.read.events)} events from {day(report.read.from)} to {day(report.read.to)}, which
          is {span((whole[1] - whole[0]) / 1000)}
        </p>
        <span class="head-end">
          <button
            type="button"
            class="tool"
            onClick={() => save(`${name}.json`, "application/json", `${JSON.stringify(report, null, 1)}\n`)}
          >
            JSON
          </button>
          <button type="button" class="tool" onClick={() => save(`${name}.csv`, "text/csv", csv(report))}>
            CSV
          </button>
        </span>
      </div>
      <Figures report={report} />
      {all.length > 0 && <Lanes report={report} whole={whole} lanes={all} lane={lane} choose={setLane} />}
      <Faults rule={rule} />
      <Intervals report={report} />
      {differences !== null && <Effects differences={differences} />}
    </div>
  );
}

const day = (text: string | null): string => {
  const at = Date.parse(text ?? "");
  return Number.isNaN(at) ? "nowhere" : `${new Date(at).toISOString().slice(0, 10)} ${timeOfDay(at, true)}`;
};

const effectsOf = ({ effects }: Outcome): number =>
  effects.stream + Object.values(effects.outputs).reduce((sum, count) => sum + count, 0);

function Figures({ report }: { report: Report }) {
  const { rule, against, differences, read } = report;
  const before = (of: (one: Outcome) => number, one: Outcome | null) =>
    one === null || of(one) === of(rule) ? null : <small> before {compact(of(one))}</small>;
  const rows: [string, number, preact.ComponentChildren?, string?][] = [
    ["fired", rule.fired.count, before((one) => one.fired.count, against)],
    ["still standing", rule.fired.standing, before((one) => one.fired.standing, against)],
    ...(differences === null
      ? []
      : ([
          ["new", differences.fired.new.length, null, "new"],
          ["gone", differences.fired.gone.length, null, "old"],
        ] as [string, number, null, string][])),
    ["events wanted", rule.wanted, before((one) => one.wanted, against)],
    ["effects", effectsOf(rule), before(effectsOf, against)],
    ["keys at most", rule.keys.most, before((one) => one.keys.most, against)],
    [
      "failed calls",
      rule.faults.count,
      before((one) => one.faults.count, against),
      rule.faults.count > 0 ? "ink-critical" : "",
    ],
    ["late events", read.late.events, null, read.late.events > 0 ? "ink-warning" : ""],
    ...(rule.instructions === null
      ? []
      : ([
          [
            "instructions an event",
            rule.instructions.per_event,
            before((one) => one.instructions?.per_event ?? 0, against),
          ],
        ] as [string, number, preact.ComponentChildren][])),
  ];
  return (
    <dl class="figures">
      {rows.map(([name, value, more, look = ""]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd class={look}>
            {compact(value)}
            {more}
          </dd>
        </div>
      ))}
    </dl>
  );
}

function Faults({ rule }: { rule: Outcome }) {
  if (rule.faults.count === 0) return null;
  return (
    <section>
      <h3>Failed calls</h3>
      <ol class="log">
        {rule.faults.first.slice(0, ROWS).map(({ at, kind, message, event }, n) => (
          <Line key={n} line={{ at, level: kind, message, position: null, event }} />
        ))}
      </ol>
    </section>
  );
}

function Row({ interval, change }: { interval: Interval; change: string }) {
  const { state, host, service, to, from, until } = interval;
  const [begin, end] = [Date.parse(from), Date.parse(until ?? "")];
  const look = stateOf({ state });
  return (
    <tr>
      <td class={change === "new" ? "new" : change === "gone" ? "old" : "quiet"}>{change}</td>
      <td class={`ink-${look}`}>
        <Glyph state={look} /> {clean(state)}
      </td>
      <th scope="row">
        <bdi>{shown(service)}</bdi>
      </th>
      <td>
        <bdi>{shown(host)}</bdi>
      </td>
      <td>{day(from)}</td>
      <td class="number">{Number.isNaN(end) ? "until the end" : span((end - begin) / 1000)}</td>
      <td class="quiet">{clean(to)}</td>
    </tr>
  );
}

function Intervals({ report }: { report: Report }) {
  const { rule, differences } = report;
  const exact = (one: Interval) => JSON.stringify(one);
  const fresh = new Set(differences?.fired.new.map(exact));
  const rows: [Interval, string][] = [
    ...(differences?.fired.gone ?? []).map((one): [Interval, string] => [one, "gone"]),
    ...rule.fired.intervals.map((one): [Interval, string] => [
      one,
      fresh.has(exact(one)) ? "new" : differences === null ? "" : "same",
    ]),
  ];
  const rank = (change: string) => (change === "same" || change === "" ? 1 : 0);
  rows.sort((a, b) => rank(a[1]) - rank(b[1]) || a[0].from.localeCompare(b[0].from));
  if (rows.length === 0) return null;
  return (
    <section>
      <h3>When it fired</h3>
      <div class="table-box" tabIndex={0} role="region" aria-label="Intervals">
        <table>
          <thead>
            <tr>
              {["", "state", "service", "host", "from", "for", "to"].map((head) => (
                <th key={head} scope="col" class={head === "for" ? "number" : ""}>
                  {head === "" ? <span class="hidden">change</span> : head}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.slice(0, ROWS).map(([interval, change], n) => (
              <Row key={n} interval={interval} change={change} />
            ))}
          </tbody>
        </table>
      </div>
      {rows.length > ROWS && <p class="quiet">and {grouped(rows.length - ROWS)} more: see the CSV</p>}
    </section>
  );
}

function Effects({ differences }: { differences: NonNullable<Report["differences"]> }) {
  const { same, only_rule, only_against, first } = differences.effects;
  return (
    <section>
      <h3>What they asked for</h3>
      <p class="quiet">
        {grouped(same)} the same, {grouped(only_rule)} only the one that is tried, {grouped(only_against)}{" "}
        only the other
      </p>
      <ol class="differences">
        {first.slice(0, 50).map(({ only, at, to, event }, n) => (
          <li key={n} class={only === "rule" ? "new" : "old"}>
            <span class="which">{only === "rule" ? "only now" : "only before"}</span>
            <span>
              {timeOfDay(Date.parse(at), true)} to {clean(to)}
            </span>
            <span class="what">
              <Glyph state={stateOf(event)} />{" "}
              <bdi>
                {shown(event.service ?? null)} on {shown(event.host ?? null)}
                {event.metric !== null && event.metric !== undefined && `, ${compact(event.metric)}`}
              </bdi>
            </span>
          </li>
        ))}
      </ol>
    </section>
  );
}
