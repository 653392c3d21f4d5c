// A chart over time on a canvas: lines, the band that one of them moves in, states as a strip, intervals as shades.

import { useEffect, useRef, useState } from "preact/hooks";
import { compact, timeOfDay } from "../logic/format.ts";
import { bounds, labeller, ticks, timeTicks } from "../logic/scale.ts";
import { type State, stateOf } from "../logic/state.ts";
import { themed } from "../theme.ts";
import { type Colours, colours } from "./colours.ts";
import "../styles/chart.css";

/** A colour of the theme. */
export type Colour = "accent" | "muted" | State;

export interface Line {
  name: string;
  /** One for each moment of the chart; null where there is none. */
  values: readonly (number | null)[];
  colour: Colour;
}

/** An interval: shaded over the whole height, or as a bar in a lane of its own below the lines. */
export interface Shade {
  from: number;
  to: number;
  colour: Colour;
  lane?: number;
}

export interface ChartProps {
  /** What the chart shows, in words, for those who do not see it. */
  label: string;
  height: number;
  /** Room on the left for the marks of the axis, and for what stands below the chart in line with it. */
  left?: number;
  /** The bounds in time, in milliseconds. */
  from: number;
  to: number;
  /** The moments of the values, in milliseconds, in order. */
  at: readonly number[];
  lines: readonly Line[];
  /** Least and most between two moments, drawn behind the first line. */
  band?: { low: readonly (number | null)[]; high: readonly (number | null)[] };
  /** States from their moments on. */
  states?: readonly (readonly [number, string | null])[];
  shades?: readonly Shade[];
  /** Names of the lanes, the first on top. */
  lanes?: readonly string[];
  /** Two values further apart than this are not joined, in milliseconds. */
  gap?: number;
  /** Called with the interval that the pointer was drawn over. */
  onSpan?: (from: number, to: number) => void;
}

const LEFT = 48;
const RIGHT = 8;
const TOP = 8;
const FOOT = 32;
const STRIP = 7;
const LANE = 16;

/** Distance between two marks, in pixels. */
const ACROSS = 76;
const UP = 34;

/** Drawn over fewer pixels than this, the pointer was only clicked. */
const CLICK = 6;

function inked(palette: Colours, colour: Colour): string {
  if (colour === "accent" || colour === "muted") return palette[colour];
  const { bar, fill } = palette.states[colour];
  return colour === "ok" || colour === "none" || colour === "expired" ? bar : (fill.at(-1) ?? bar);
}

interface Scales {
  width: number;
  left: number;
  /** The foot of the lines, and of lanes and strip below them. */
  foot: number;
  bottom: number;
  low: number;
  high: number;
  x: (at: number) => number;
  y: (value: number) => number;
  /** The moment at a pixel. */
  time: (x: number) => number;
}

function scalesOf(props: ChartProps, width: number): Scales {
  const { from, to, height, lines, band, states, lanes = [], left = LEFT } = props;
  const all = function* () {
    for (const { values } of lines) yield* values;
    if (band !== undefined) {
      yield* band.low;
      yield* band.high;
    }
  };
  const [low, high] = bounds(all());
  const bottom = height - FOOT;
  const foot = bottom - (states === undefined ? 0 : STRIP + 3) - lanes.length * LANE;
  const inner = Math.max(1, width - left - RIGHT);
  const length = Math.max(1, to - from);
  return {
    width,
    left,
    foot,
    bottom,
    low,
    high,
    x: (at) => left + (Math.max(0, Math.min(1, (at - from) / length)) * inner || 0),
    y: (value) => foot - ((value - low) / (high - low)) * (foot - TOP),
    time: (x) => from + ((x - left) / inner) * length,
  };
}

/** Which moment is nearest to a pixel; -1 when there is none near. */
function nearest(props: ChartProps, scales: Scales, x: number): number {
  const wanted = scales.time(x);
  let found = -1;
  let least = Number.POSITIVE_INFINITY;
  for (const [n, at] of props.at.entries()) {
    const away = Math.abs(at - wanted);
    if (away < least) [found, least] = [n, away];
  }
  return found >= 0 && Math.abs(scales.x(props.at[found] ?? 0) - x) < 30 ? found : -1;
}

/** Runs of values that are joined: first and last index of each. */
function* runs(
  at: readonly number[],
  values: readonly (number | null)[],
  gap: number,
): Generator<[number, number]> {
  let first = -1;
  let last = -1;
  for (const [n, value] of values.entries()) {
    if (value === null) continue;
    if (first >= 0 && (at[n] ?? 0) - (at[last] ?? 0) > gap) {
      yield [first, last];
      first = n;
    }
    if (first < 0) first = n;
    last = n;
  }
  if (first >= 0) yield [first, last];
}

function axes(pen: CanvasRenderingContext2D, props: ChartProps, scales: Scales, palette: Colours): void {
  const { width, left, foot, bottom, low, high, x, y } = scales;
  pen.font = `11px ${palette.font}`;
  pen.lineWidth = 1;
  pen.strokeStyle = palette.line;
  pen.fillStyle = palette.muted;
  pen.textAlign = "right";
  pen.textBaseline = "middle";
  pen.beginPath();
  const marks = ticks(low, high, Math.max(2, (foot - TOP) / UP));
  const label = labeller(marks);
  for (const value of marks) {
    const at = Math.round(y(value)) + 0.5;
    pen.moveTo(left, at);
    pen.lineTo(width - RIGHT, at);
    pen.fillText(label(value), left - 7, at);
  }
  pen.textAlign = "center";
  pen.textBaseline = "top";
  for (const { at, label, day } of timeTicks(props.from, props.to, Math.max(2, (width - left) / ACROSS))) {
    const mark = Math.round(x(at)) + 0.5;
    pen.moveTo(mark, TOP);
    pen.lineTo(mark, bottom + 3);
    const middle = Math.max(20, Math.min(width - 22, mark));
    pen.fillText(label, middle, bottom + 6);
    if (day !== "") pen.fillText(day, middle, bottom + 19);
  }
  pen.stroke();
}

function shadesOf(pen: CanvasRenderingContext2D, props: ChartProps, scales: Scales, palette: Colours): void {
  const { width, left: edge, foot, x } = scales;
  const lanes = props.lanes ?? [];
  pen.textAlign = "right";
  pen.textBaseline = "middle";
  pen.fillStyle = palette.muted;
  for (const [n, name] of lanes.entries())
    pen.fillText(name, edge - 7, foot + 3 + (n + 0.5) * LANE, edge - 8);
  for (const { from, to, colour, lane } of props.shades ?? []) {
    const left = x(from);
    const wide = Math.max(1.5, x(to) - left);
    if (to < props.from || from > props.to) continue;
    pen.fillStyle = inked(palette, colour);
    if (lane !== undefined) {
      pen.fillRect(left, foot + 4 + lane * LANE, wide, LANE - 4);
      continue;
    }
    pen.globalAlpha = 0.15;
    pen.fillRect(left, TOP, wide, foot - TOP);
    pen.globalAlpha = 1;
    pen.fillRect(left, TOP, 1, foot - TOP);
  }
  pen.fillStyle = palette.line;
  for (const [n] of lanes.entries()) pen.fillRect(edge, foot + 2 + n * LANE, width - edge - RIGHT, 1);
}

function bandOf(pen: CanvasRenderingContext2D, props: ChartProps, scales: Scales, palette: Colours): void {
  const { at, band, gap = Number.POSITIVE_INFINITY } = props;
  if (band === undefined) return;
  const { x, y } = scales;
  pen.fillStyle = inked(palette, props.lines[0]?.colour ?? "accent");
  pen.globalAlpha = 0.2;
  for (const [first, last] of runs(at, band.low, gap)) {
    pen.beginPath();
    for (let n = first; n <= last; n++) {
      const value = band.high[n];
      if (value !== null && value !== undefined) pen.lineTo(x(at[n] ?? 0), y(value));
    }
    for (let n = last; n >= first; n--) {
      const value = band.low[n];
      if (value !== null && value !== undefined) pen.lineTo(x(at[n] ?? 0), y(value));
    }
    pen.fill();
  }
  pen.globalAlpha = 1;
}

function linesOf(pen: CanvasRenderingContext2D, props: ChartProps, scales: Scales, palette: Colours): void {
  const { at, lines, gap = Number.POSITIVE_INFINITY } = props;
  const { x, y } = scales;
  pen.lineJoin = "round";
  pen.lineWidth = 1.6;
  for (const { values, colour } of lines) {
    pen.strokeStyle = inked(palette, colour);
    pen.fillStyle = pen.strokeStyle;
    for (const [first, last] of runs(at, values, gap)) {
      pen.beginPath();
      for (let n = first; n <= last; n++) {
        const value = values[n];
        if (value !== null && value !== undefined) pen.lineTo(x(at[n] ?? 0), y(value));
      }
      pen.stroke();
      // One value alone makes no line.
      if (first === last) pen.fillRect(x(at[first] ?? 0) - 1.5, y(values[first] ?? 0) - 1.5, 3, 3);
    }
  }
}

function stripOf(pen: CanvasRenderingContext2D, props: ChartProps, scales: Scales, palette: Colours): void {
  const { states = [], to } = props;
  for (const [n, [from, state]] of states.entries()) {
    const left = scales.x(from);
    const right = scales.x(states[n + 1]?.[0] ?? to);
    pen.fillStyle = inked(palette, stateOf({ state }));
    pen.fillRect(left, scales.bottom - STRIP, Math.max(1, right - left), STRIP);
  }
}

interface Pointer {
  x: number;
  /** Where it went down; null while it is up. */
  down: number | null;
}

function paint(
  canvas: HTMLCanvasElement,
  props: ChartProps,
  width: number,
  palette: Colours,
  pointer: Pointer | null,
): void {
  const pen = canvas.getContext("2d");
  if (pen === null) return;
  const ratio = Math.min(3, devicePixelRatio || 1);
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(props.height * ratio);
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  const scales = scalesOf(props, width);
  axes(pen, props, scales, palette);
  shadesOf(pen, props, scales, palette);
  bandOf(pen, props, scales, palette);
  linesOf(pen, props, scales, palette);
  stripOf(pen, props, scales, palette);
  if (pointer === null) return;
  if (pointer.down !== null) {
    pen.fillStyle = palette.accent;
    pen.globalAlpha = 0.2;
    pen.fillRect(
      Math.min(pointer.x, pointer.down),
      TOP,
      Math.abs(pointer.x - pointer.down),
      scales.bottom - TOP,
    );
    pen.globalAlpha = 1;
  }
  const n = nearest(props, scales, pointer.x);
  const at = props.at[n];
  if (at === undefined) return;
  pen.fillStyle = palette.muted;
  pen.fillRect(scales.x(at), TOP, 1, scales.bottom - TOP);
  for (const { values, colour } of props.lines) {
    const value = values[n];
    if (value === null || value === undefined) continue;
    pen.fillStyle = inked(palette, colour);
    pen.beginPath();
    pen.arc(scales.x(at), scales.y(value), 3.5, 0, 7);
    pen.fill();
  }
}

/** What the chart says under the pointer. */
function Reading({ props, n, x, width }: { props: ChartProps; n: number; x: number; width: number }) {
  const at = props.at[n];
  if (at === undefined) return null;
  const state = props.states?.findLast(([from]) => from <= at)?.[1];
  const side = x > width / 2 ? `right: ${width - x + 10}px` : `left: ${x + 10}px`;
  return (
    <div class="chart-reading" style={side} aria-hidden="true">
      <time>{timeOfDay(at, true)}</time>
      {props.lines.map(({ name, values }) => (
        <span key={name}>
          {props.lines.length > 1 && `${name} `}
          <b>{compact(values[n] ?? null)}</b>
        </span>
      ))}
      {state !== undefined && state !== null && <span class={`ink-${stateOf({ state })}`}>{state}</span>}
    </div>
  );
}

export function Chart(props: ChartProps) {
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const [width, setWidth] = useState(0);
  const [pointer, setPointer] = useState<Pointer | null>(null);
  const theme = themed.value;
  useEffect(() => {
    const into = box.current;
    if (into === null) return;
    const watch = new ResizeObserver(() => setWidth(into.clientWidth));
    watch.observe(into);
    return () => watch.disconnect();
  }, []);
  useEffect(() => {
    if (canvas.current !== null && width > 0) paint(canvas.current, props, width, colours(), pointer);
  }, [props, width, theme, pointer]);
  const place = (event: PointerEvent) => event.clientX - (box.current?.getBoundingClientRect().x ?? 0);
  const { onSpan } = props;
  return (
    <div
      class={`chart ${onSpan === undefined ? "" : "chart-span"}`}
      ref={box}
      role="img"
      aria-label={props.label}
      title={onSpan === undefined ? undefined : "Draw over a part to look closer"}
      style={`height: ${props.height}px`}
      onPointerMove={(event) => setPointer({ x: place(event), down: pointer?.down ?? null })}
      onPointerLeave={() => setPointer(null)}
      onPointerDown={(event) => {
        if (onSpan !== undefined) setPointer({ x: place(event), down: place(event) });
      }}
      onPointerUp={(event) => {
        const [one, other] = [pointer?.down ?? null, place(event)];
        setPointer({ x: other, down: null });
        if (one === null || Math.abs(one - other) < CLICK) return;
        const { time } = scalesOf(props, width);
        onSpan?.(time(Math.min(one, other)), time(Math.max(one, other)));
      }}
    >
      <canvas ref={canvas} />
      {pointer !== null && pointer.down === null && (
        <Reading
          props={props}
          n={nearest(props, scalesOf(props, width), pointer.x)}
          x={pointer.x}
          width={width}
        />
      )}
    </div>
  );
}
