// The metric of a stream, and below it, to the same moments, when the rule would have fired: one lane for each host and
// service that it spoke of, in two halves where two versions are compared.

import { useEffect, useMemo, useState } from "preact/hooks";
import { useGet } from "../api.ts";
import type { History } from "../contract.ts";
import { type Bar, type Lane, otherOf } from "../logic/backtest.ts";
import { span, timeOfDay } from "../logic/format.ts";
import { clean, shown } from "../logic/names.ts";
import { stateOf } from "../logic/state.ts";
import { Chart } from "../parts/chart.tsx";
import { seriesOf } from "../parts/course.tsx";
import type { Report } from "./contract.ts";

/** Room to the left for the names of lanes and for the axis. */
const GUTTER = 190;
const NARROW = 56;

/** Lanes that are drawn at most. */
const MOST = 40;

export function Lanes(props: {
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
      {lane !== null && (
        <Metric key={lane.id} lane={lane} range={[from, to]} gutter={gutter} zoom={setRange} />
      )}
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
              <i class="key-rule" /> above: {clean(report.rule.version)}, tried
            </span>
            <span>
              <i class="key-against" /> below: {clean(otherOf(report))}
            </span>
            <span class="new">
              <i class="key-new" /> only there
            </span>
          </>
        ) : (
          <span>draw over the metric to look closer</span>
        )}
        {(from !== whole[0] || to !== whole[1]) && (
          <button type="button" class="linked" onClick={() => setRange(whole)}>
            all of it
          </button>
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
  range: [number, number];
  gutter: number;
  zoom: (range: [number, number]) => void;
}) {
  const { lane, range, gutter, zoom } = props;
  const [from, to] = range;
  const { data, error } = useGet<History>("history", {
    host: lane.host,
    service: lane.service,
    from: new Date(from).toISOString(),
    to: new Date(to).toISOString(),
    points: 600,
  });
  const series = useMemo(() => (data === null ? null : seriesOf(data)), [data]);
  const shades = useMemo(
    () =>
      lane.rule.map(({ from: begin, until, state }) => ({
        from: begin,
        to: until,
        colour: stateOf({ state }),
      })),
    [lane],
  );
  if (series === null)
    return (
      <p class="quiet metric-none">{error === null ? "Asking for the metric…" : clean(error.message)}</p>
    );
  if (series.at.length < 2)
    return (
      <p class="quiet metric-none">
        There is no metric of {shown(lane.service)} on {shown(lane.host)} itself in that time.
      </p>
    );
  const { states, ...rest } = series;
  return (
    <Chart
      label={`The metric of ${shown(lane.service)} on ${shown(lane.host)}`}
      height={220}
      left={gutter}
      from={from}
      to={to}
      shades={shades}
      onSpan={(begin, end) => zoom([begin, end])}
      {...rest}
    />
  );
}
