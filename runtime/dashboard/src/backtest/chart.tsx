// The metric of a stream, and below it, to the same moments, when the rule would have fired: one lane for each host and
// service that it spoke of, in two halves where two versions are compared.

import { useCallback, useEffect, useMemo, useState } from "preact/hooks";
import type uPlot from "uplot";
import { bandOf } from "../alerts/course.tsx";
import { useGet } from "../api.ts";
import type { History } from "../contract.ts";
import type { Bar, Lane } from "../logic/backtest.ts";
import { compact, span, timeOfDay } from "../logic/format.ts";
import { clean, shown } from "../logic/names.ts";
import { stateOf } from "../logic/state.ts";
import { axes, Plot, type PlotOptions, utc } from "../parts/plot.tsx";
import type { Report } from "./contract.ts";

/** Room to the left for the names of lanes and for the axis. */
const GUTTER = 190;
const NARROW = 56;

/** Lanes that are drawn at most. */
const MOST = 40;

export function Chart(props: {
  report: Report;
  whole: [number, number];
  lanes: readonly Lane[];
  lane: Lane | null;
  choose: (lane: Lane) => void;
}) {
  const { report, whole, lanes, lane, choose } = props;
  const [[from, to], setRange] = useState(whole);
  useEffect(() => setRange(whole), [whole]);
  const narrow = innerWidth < 760;
  const gutter = narrow ? NARROW : GUTTER;
  const compared = report.against !== null;
  return (
    <section class={`lanes ${narrow ? "lanes-narrow" : ""}`} style={{ "--gutter": `${gutter}px` }}>
      {lane !== null && <Metric lane={lane} whole={whole} gutter={gutter} zoom={setRange} />}
      <ol aria-label="When it would have fired">
        {lanes.slice(0, MOST).map((one) => (
          <li key={one.id} class={one === lane ? "lane lane-open" : "lane"}>
            <button type="button" class="lane-name" aria-pressed={one === lane} onClick={() => choose(one)}>
              <b>
                <bdi>{shown(one.service)}</bdi>
              </b>
              <small>
                <bdi>{shown(one.host)}</bdi> → {clean(one.to)}
              </small>
            </button>
            <div class="track" role="img" aria-label={spoken(one, compared)}>
              <Bars bars={one.rule} from={from} to={to} />
              {compared && <Bars bars={one.against} from={from} to={to} lower />}
            </div>
          </li>
        ))}
      </ol>
      {lanes.length > MOST && <p class="quiet">and {lanes.length - MOST} more, in the list below</p>}
      <p class="key-line">
        {compared ? (
          <>
            <span>
              <i class="key-rule" /> above: {clean(report.rule.version)}
            </span>
            <span>
              <i class="key-against" /> below: {clean(report.against?.version ?? "")}
            </span>
            <span class="new">
              <i class="key-new" /> only there
            </span>
          </>
        ) : (
          <span>drag over the metric to look closer, double-click for all of it</span>
        )}
      </p>
    </section>
  );
}

function spoken({ rule, against }: Lane, compared: boolean): string {
  const count = (bars: readonly Bar[]) => (bars.length === 1 ? "once" : `${bars.length} times`);
  return `fired ${count(rule)}${compared ? `, before ${count(against)}` : ""}`;
}

function Bars({
  bars,
  from,
  to,
  lower = false,
}: {
  bars: readonly Bar[];
  from: number;
  to: number;
  lower?: boolean;
}) {
  const whole = Math.max(1, to - from);
  return (
    <>
      {bars
        .filter((bar) => bar.until >= from && bar.from <= to)
        .map((bar, n) => {
          const left = Math.max(0, (bar.from - from) / whole);
          const right = Math.min(1, (bar.until - from) / whole);
          return (
            <i
              key={n}
              class={`bar bar-${stateOf(bar)} bar-${bar.change} ${lower ? "bar-lower" : ""} ${bar.open ? "bar-open" : ""}`}
              style={{ left: `${100 * left}%`, width: `max(3px, ${100 * (right - left)}%)` }}
              title={`${clean(bar.state)} from ${timeOfDay(bar.from, true)} for ${span((bar.until - bar.from) / 1000)}${bar.open ? ", to the end" : ""}`}
            />
          );
        })}
    </>
  );
}

function Metric(props: {
  lane: Lane;
  whole: [number, number];
  gutter: number;
  zoom: (range: [number, number]) => void;
}) {
  const { lane, whole, gutter, zoom } = props;
  const [first, last] = whole;
  const { data, error } = useGet<History>("history", {
    host: lane.host,
    service: lane.service,
    from: new Date(first).toISOString(),
    to: new Date(last).toISOString(),
    points: 600,
  });
  const shade = useCallback(
    (plot: uPlot, fill: string) => {
      const { ctx, bbox } = plot;
      const x = (at: number) =>
        Math.min(bbox.left + bbox.width, Math.max(bbox.left, plot.valToPos(at / 1000, "x", true)));
      ctx.save();
      ctx.fillStyle = fill;
      ctx.globalAlpha = 0.2;
      for (const { from, until } of lane.rule)
        ctx.fillRect(x(from), bbox.top, Math.max(2, x(until) - x(from)), bbox.height);
      ctx.restore();
    },
    [lane],
  );
  const options = useMemo<PlotOptions>(
    () => (colours) => {
      const [time, value] = axes(colours, compact);
      return {
        tzDate: utc,
        legend: { show: false },
        padding: [8, 0, 0, 0],
        cursor: { y: false, points: { size: 6 } },
        axes: [time ?? {}, { ...value, size: gutter }],
        scales: { x: { time: true, min: first / 1000, max: last / 1000 } },
        series: [
          {},
          { stroke: "transparent", points: { show: false } },
          { stroke: "transparent", points: { show: false } },
          { stroke: colours.accent, width: 1.5, points: { show: false } },
        ],
        bands: [{ series: [1, 2], fill: `${colours.accent}33` }],
        hooks: {
          drawClear: [(plot) => shade(plot, colours.states.critical.bar)],
          setScale: [
            (plot, key) => {
              const { min, max } = plot.scales.x ?? {};
              if (key === "x" && typeof min === "number" && typeof max === "number")
                zoom([min * 1000, max * 1000]);
            },
          ],
        },
      };
    },
    [shade, gutter, first, last],
  );
  const series = useMemo(() => {
    const found = data === null ? null : bandOf(data);
    // The chart goes from end to end, also where the stream was not heard.
    return found === null ? null : padded(found, first / 1000, last / 1000);
  }, [data, first, last]);
  if (series === null)
    return (
      <p class="quiet metric-none">{error === null ? "Asking for the metric…" : clean(error.message)}</p>
    );
  if (series[0].length <= 2)
    return (
      <p class="quiet metric-none">
        There is no metric of {shown(lane.service)} on {shown(lane.host)} itself in that time.
      </p>
    );
  return (
    <Plot
      label={`The metric of ${shown(lane.service)} on ${shown(lane.host)}`}
      height={200}
      options={options}
      data={series}
    />
  );
}

function padded(data: uPlot.AlignedData, from: number, to: number): uPlot.AlignedData {
  const [times, ...rest] = data;
  const before = times.length === 0 || (times[0] ?? 0) > from ? [from] : [];
  const after = times.length === 0 || (times.at(-1) ?? 0) < to ? [to] : [];
  const gap = (some: number[]) => some.map(() => null);
  return [
    [...before, ...times, ...after],
    ...rest.map((values) => [...gap(before), ...values, ...gap(after)]),
  ] as uPlot.AlignedData;
}
