// The metric of an alert's stream from before it fired until now, with the time that it stood shaded.

import { useCallback, useMemo, useState } from "preact/hooks";
import type uPlot from "uplot";
import { useGet } from "../api.ts";
import type { History } from "../contract.ts";
import { compact } from "../logic/format.ts";
import { axes, Plot, type PlotOptions, utc } from "../parts/plot.tsx";

/** How long before the alert the chart begins: as long as the alert stands, within these bounds. */
const [SHORTEST, LONGEST] = [10 * 60_000, 6 * 3_600_000];

/** Series of the range between least and most metric, and of the last. */
export function bandOf(history: History): uPlot.AlignedData {
  const times: number[] = [];
  const [least, most, last]: (number | null)[][] = [[], [], []];
  for (const [at, low, high, end] of history.points) {
    times.push(at / 1000);
    least?.push(low);
    most?.push(high);
    last?.push(end);
  }
  return [times, most ?? [], least ?? [], last ?? []];
}

export function Course(props: {
  host: string | null;
  service: string | null;
  since: number;
  until: number | null;
}) {
  const { host, service, since, until } = props;
  // The question stays the same while the alert stands, but for a step now and then.
  const [now] = useState(() => Date.now());
  const end = until ?? now;
  const before = Math.min(LONGEST, Math.max(SHORTEST, end - since));
  const from = new Date(since - before).toISOString();
  const { data } = useGet<History>(
    "history",
    {
      host: host ?? "",
      service: service ?? "",
      from,
      ...(until === null ? {} : { to: new Date(until + before).toISOString() }),
      points: 240,
    },
    15_000,
  );
  const shade = useCallback(
    (plot: uPlot, colour: string) => {
      const { ctx, bbox } = plot;
      const left = Math.max(bbox.left, plot.valToPos(since / 1000, "x", true));
      const right =
        until === null
          ? bbox.left + bbox.width
          : Math.min(bbox.left + bbox.width, plot.valToPos(until / 1000, "x", true));
      ctx.save();
      ctx.fillStyle = colour;
      ctx.globalAlpha = 0.14;
      ctx.fillRect(left, bbox.top, Math.max(0, right - left), bbox.height);
      ctx.globalAlpha = 1;
      ctx.fillRect(left, bbox.top, Math.max(1, devicePixelRatio), bbox.height);
      ctx.restore();
    },
    [since, until],
  );
  const options = useMemo<PlotOptions>(
    () => (colours) => ({
      tzDate: utc,
      legend: { show: false },
      cursor: { y: false, points: { size: 6 } },
      axes: axes(colours, compact),
      scales: { x: { time: true } },
      series: [
        {},
        { stroke: "transparent", fill: `${colours.accent}22`, points: { show: false } },
        { stroke: "transparent", points: { show: false } },
        { stroke: colours.accent, width: 1.5, points: { show: false } },
      ],
      bands: [{ series: [1, 2], fill: `${colours.accent}33` }],
      hooks: { drawClear: [(plot) => shade(plot, colours.states.critical.bar)] },
    }),
    [shade],
  );
  const series = useMemo(() => (data === null ? null : bandOf(data)), [data]);
  if (series === null || (series[0]?.length ?? 0) < 2) return null;
  return <Plot label="The metric before and since the alert" height={130} options={options} data={series} />;
}
