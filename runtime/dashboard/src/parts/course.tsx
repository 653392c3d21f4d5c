// The course of one stream: its metric as a line in the band between least and most, and its states as a strip below.

import { useMemo } from "preact/hooks";
import type uPlot from "uplot";
import { useGet } from "../api.ts";
import type { History } from "../contract.ts";
import { brief, compact, timeOfDay } from "../logic/format.ts";
import { clean, type Name, shown } from "../logic/names.ts";
import { stateOf } from "../logic/state.ts";
import { moment } from "../logic/time.ts";
import { serverNow } from "../page.ts";
import { axes, Plot, type PlotOptions, utc } from "./plot.tsx";
import { timeSpan } from "./span.tsx";

/** Height of the strip of states, in pixels. */
const STRIP = 7;

/** The shortest and longest time between two questions, in milliseconds. */
const SOONEST = 2_000;
const LATEST = 60_000;

const POINTS = 300;

/** The smallest and largest value that is a number; NaN when there is none. */
function bounds(history: History): [number, number] {
  let [least, most] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const [, low, high] of history.points) {
    if (low !== null && low < least) least = low;
    if (high !== null && high > most) most = high;
  }
  return least <= most ? [least, most] : [Number.NaN, Number.NaN];
}

function dataOf(history: History): uPlot.AlignedData {
  const at: number[] = [];
  const lines: (number | null)[][] = [[], [], []];
  for (const [time, least, most, last] of history.points) {
    at.push(time / 1000);
    for (const [n, value] of [least, most, last].entries()) lines[n]?.push(value);
  }
  return [at, ...lines] as uPlot.AlignedData;
}

/** Draws the states as a strip at the foot of the chart. */
function strip(history: History): PlotOptions {
  return (palette) => ({
    legend: { show: false },
    cursor: { drag: { x: false, y: false }, points: { size: 7 } },
    padding: [8, 10, 0, 0],
    tzDate: utc,
    scales: {
      x: { range: () => [Date.parse(history.from) / 1000, Date.parse(history.to) / 1000] },
      y: {
        range: (_, low, high) => {
          if (low === null || high === null) return [0, 1];
          const room = high - low || Math.abs(high) || 1;
          const floor = low >= 0 && low < room * 2 ? 0 : low - room * 0.12;
          return [floor - room * 0.04, high + room * 0.12];
        },
      },
    },
    axes: axes(palette, brief),
    series: [
      { value: (_, at) => (at === null ? "" : timeOfDay(at * 1000, true)) },
      { show: true, stroke: "transparent", points: { show: false } },
      { show: true, stroke: "transparent", points: { show: false } },
      {
        stroke: palette.accent,
        width: 1.6,
        points: { show: history.points.length < 40, size: 4, fill: palette.accent },
        spanGaps: history.step_ms < 60_000,
      },
    ],
    bands: [{ series: [2, 1], fill: `${palette.accent}2e` }],
    hooks: {
      draw: [
        (chart) => {
          const { left, top, width, height } = chart.bbox;
          const high = STRIP * devicePixelRatio;
          const end = Date.parse(history.to);
          for (const [n, [from, state]] of history.states.entries()) {
            const until = history.states[n + 1]?.[0] ?? end;
            const x = (at: number) =>
              Math.max(left, Math.min(left + width, chart.valToPos(at / 1000, "x", true)));
            const known = stateOf({ state });
            const paint = palette.states[known];
            chart.ctx.fillStyle = known === "ok" || known === "none" ? paint.bar : (paint.fill.at(-1) ?? "");
            const begin = x(from);
            chart.ctx.fillRect(begin, top + height - high, Math.max(1, x(until) - begin), high);
          }
        },
      ],
    },
  });
}

/** The state and the value under the cursor come with the chart; this is what they add up to. */
function Summary({ history }: { history: History }) {
  const [least, most] = bounds(history);
  const events = history.points.reduce((sum, [, , , , count]) => sum + count, 0);
  const changes = Math.max(0, history.states.length - 1);
  return (
    <figcaption>
      <span>
        {Number.isNaN(least) ? "no metric" : `${compact(least)} … ${compact(most)}`}, {compact(events)} events
        {changes > 0 && `, ${changes} ${changes === 1 ? "change" : "changes"} of state`}
      </span>
      <span title="Where these points come from">
        from {history.source === "both" ? "memory and log" : history.source}
        {!history.complete && <em> · in part: the log holds more than was read</em>}
      </span>
    </figcaption>
  );
}

export function Course({ host, service, height }: { host: Name; service: Name; height: number }) {
  const { from, to } = timeSpan.value;
  const now = serverNow();
  const length = moment(to ?? "", now) - moment(from, now);
  // A span that ends now moves on, about as often as it gets a new point.
  const every = to === null ? Math.max(SOONEST, Math.min(LATEST, length / POINTS)) : 0;
  const { data, error } = useGet<History>("history", { host, service, from, to, points: POINTS }, every);
  const points = useMemo(() => (data === null ? null : dataOf(data)), [data]);
  const options = useMemo(() => (data === null ? null : strip(data)), [data?.from, data?.to, data?.states]);
  if (data === null || points === null || options === null) {
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
        <Plot
          label={`The metric of ${shown(service)} on ${shown(host)} over time`}
          height={height}
          options={options}
          data={points}
        />
      )}
      <Summary history={data} />
    </figure>
  );
}
