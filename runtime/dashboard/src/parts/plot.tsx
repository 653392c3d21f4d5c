// A chart over time: uPlot, at the width of what holds it, in the colours of the theme, and drawn anew when either changes.

import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { themed } from "../theme.ts";
import { type Colours, colours } from "./colours.ts";

/** Options as uPlot has them, but for the size. They may depend on the colours. */
export type PlotOptions = (colours: Colours) => Omit<uPlot.Options, "width" | "height">;

/** Axes in the colours and the letters of the page. */
export function axes({ muted, line, font }: Colours, unit?: (value: number) => string): uPlot.Axis[] {
  const common = {
    stroke: muted,
    font: `11px ${font}`,
    grid: { stroke: line, width: 1 },
    ticks: { stroke: line, width: 1, size: 4 },
  };
  const values = unit === undefined ? {} : { values: (_: uPlot, at: number[]) => at.map(unit) };
  return [
    { ...common, size: 34, space: 62, values: moments },
    { ...common, size: 56, ...values },
  ];
}

const two = (n: number): string => String(n).padStart(2, "0");

/** Times of day by 24 hours in UTC, with the day where it begins and at the left edge. */
function moments(_: uPlot, at: number[], __: number, ___: number, step: number): string[] {
  let day = "";
  return at.map((seconds) => {
    const time = new Date(seconds * 1e3);
    const date = `${time.getUTCFullYear()}-${two(time.getUTCMonth() + 1)}-${two(time.getUTCDate())}`;
    if (step >= 86_400) return date.slice(5);
    const clock = `${two(time.getUTCHours())}:${two(time.getUTCMinutes())}`;
    const label = step < 60 ? `${clock}:${two(time.getUTCSeconds())}` : clock;
    const fresh = date !== day;
    day = date;
    return fresh ? `${label}\n${date.slice(5)}` : label;
  });
}

/** Times on the axis are those of the server's clock, which is UTC. */
export const utc = (seconds: number): Date => uPlot.tzDate(new Date(seconds * 1e3), "Etc/UTC");

export function Plot(props: {
  /** What the chart shows, in words, for those who do not see it. */
  label: string;
  height: number;
  /** Another function means other options: keep it with `useMemo`. */
  options: PlotOptions;
  data: uPlot.AlignedData;
  /** Called with each new chart. */
  made?: (plot: uPlot) => void;
}) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const { options, data, height, made } = props;
  const theme = themed.value;
  useEffect(() => {
    const into = box.current;
    if (into === null) return;
    const size = () => ({ width: Math.max(80, into.clientWidth), height });
    const chart = new uPlot({ ...options(colours()), ...size() }, data, into);
    plot.current = chart;
    made?.(chart);
    const watch = new ResizeObserver(() => {
      if (chart.width !== size().width) chart.setSize(size());
    });
    watch.observe(into);
    return () => {
      watch.disconnect();
      chart.destroy();
      plot.current = null;
    };
  }, [options, height, theme]);
  useEffect(() => {
    if (plot.current !== null && plot.current.data !== data) plot.current.setData(data);
  }, [data]);
  return <div class="plot" ref={box} role="img" aria-label={props.label} />;
}
