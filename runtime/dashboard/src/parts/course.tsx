// The course of one stream: its metric as a line in the band between least and most, and its states as a strip below.

import { useMemo } from "preact/hooks";
import { useGet } from "../api.ts";
import type { History } from "../contract.ts";
import { compact } from "../logic/format.ts";
import { clean, type Name, shown } from "../logic/names.ts";
import { moment } from "../logic/time.ts";
import { serverNow } from "../page.ts";
import { Chart } from "./chart.tsx";
import { setSpan, timeSpan } from "./span.tsx";

/** The shortest and longest time between two questions, in milliseconds. */
const SOONEST = 2_000;
const LATEST = 60_000;

const POINTS = 300;

/** Two events that are further apart than so many points are not joined. */
const APART = 12;

/** The series of a history, as a chart takes them. */
export function seriesOf(history: History) {
  const column = (n: 1 | 2 | 3) => history.points.map((point) => point[n]);
  return {
    at: history.points.map(([at]) => at),
    band: { low: column(1), high: column(2) },
    lines: [{ name: "metric", values: column(3), colour: "accent" as const }],
    states: history.states,
    gap: Math.max(120_000, APART * history.step_ms),
  };
}

/** What the chart adds up to. */
function Summary({ history }: { history: History }) {
  const { band } = seriesOf(history);
  const numbers = [...band.low, ...band.high].filter((value) => value !== null);
  const [least, most] = [Math.min(...numbers), Math.max(...numbers)];
  const events = history.points.reduce((sum, [, , , , count]) => sum + count, 0);
  const changes = Math.max(0, history.states.length - 1);
  return (
    <figcaption>
      <span>
        {numbers.length === 0 ? "no metric" : `${compact(least)} … ${compact(most)}`}, {compact(events)}{" "}
        events
        {changes > 0 && `, ${changes} ${changes === 1 ? "change" : "changes"} of state`}
      </span>
      <span title="Where these points come from">
        from {history.source === "both" ? "memory and log" : history.source}
        {!history.complete && <em> · in part: the log holds more than was read</em>}
      </span>
    </figcaption>
  );
}

const iso = (at: number): string => new Date(at).toISOString().replace(/\.\d+/u, "");

export function Course({ host, service, height }: { host: Name; service: Name; height: number }) {
  const { from, to } = timeSpan.value;
  const now = serverNow();
  const length = moment(to ?? "", now) - moment(from, now);
  // A span that ends now moves on, about as often as it gets a new point.
  const every = to === null ? Math.max(SOONEST, Math.min(LATEST, length / POINTS)) : 0;
  const { data, error } = useGet<History>("history", { host, service, from, to, points: POINTS }, every);
  const series = useMemo(() => (data === null ? null : seriesOf(data)), [data]);
  if (data === null || series === null) {
    return (
      <div class="course course-empty quiet" style={`height: ${height}px`}>
        {error === null ? "…" : clean(error.message)}
      </div>
    );
  }
  return (
    <figure class="course">
      {data.points.length === 0 ? (
        <div class="course-empty quiet" style={`height: ${height}px`}>
          No event of this stream in this time.
        </div>
      ) : (
        <Chart
          label={`The metric of ${shown(service)} on ${shown(host)} over time`}
          height={height}
          from={Date.parse(data.from)}
          to={Date.parse(data.to)}
          onSpan={(begin, end) => setSpan(iso(begin), iso(end))}
          {...series}
        />
      )}
      <Summary history={data} />
    </figure>
  );
}
