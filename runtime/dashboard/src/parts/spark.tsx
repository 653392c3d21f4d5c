// Events per second over the last two minutes.

import { useEffect, useRef } from "preact/hooks";
import { rate } from "../logic/format.ts";
import type { Samples } from "../logic/ring.ts";
import { tick } from "../page.ts";
import { themed } from "../theme.ts";

/** A line over fewer samples than this would be mostly noise drawn large. */
export const FEWEST = 20;

/** A line over the samples, with a gap where there was none. The scale begins at zero. */
export function draw(canvas: HTMLCanvasElement, values: ArrayLike<number>, zero: boolean): void {
  const pen = canvas.getContext("2d");
  if (pen === null) return;
  const style = getComputedStyle(canvas);
  const ratio = Math.min(3, window.devicePixelRatio || 1);
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  if (width === 0 || height === 0) return;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  let [least, most] = [zero ? 0 : Number.POSITIVE_INFINITY, zero ? 0 : Number.NEGATIVE_INFINITY];
  for (let n = 0; n < values.length; n++) {
    const value = values[n] ?? Number.NaN;
    if (value < least) least = value;
    if (value > most) most = value;
  }
  const range = most - least;
  const last = values.length - 1;
  const x = (n: number) => 1 + (n / Math.max(1, last)) * (width - 4);
  const y = (value: number) =>
    range > 0 ? height - 2 - ((value - least) / range) * (height - 5) : height - 2;
  pen.fillStyle = style.color;
  pen.globalAlpha = 0.3;
  pen.fillRect(0, height - 1, width, 1);
  pen.globalAlpha = 1;
  const run = (from: number, to: number) => {
    pen.beginPath();
    for (let n = from; n <= to; n++) pen.lineTo(x(n), y(values[n] ?? 0));
    pen.strokeStyle = style.color;
    pen.lineWidth = 1.5;
    pen.lineJoin = "round";
    pen.stroke();
    pen.lineTo(x(to), height);
    pen.lineTo(x(from), height);
    pen.fillStyle = style.color;
    pen.globalAlpha = 0.13;
    pen.fill();
    pen.globalAlpha = 1;
  };
  let from = -1;
  for (let n = 0; n <= last; n++) {
    const there = !Number.isNaN(values[n] ?? Number.NaN);
    if (there && from < 0) from = n;
    if (from >= 0 && (!there || n === last)) {
      const to = there ? n : n - 1;
      if (to > from) run(from, to);
      from = -1;
    }
  }
  const end = values[last] ?? Number.NaN;
  if (!Number.isNaN(end)) {
    pen.beginPath();
    pen.arc(x(last), y(end), 2, 0, 7);
    pen.fillStyle = style.color;
    pen.fill();
  }
}

export function Spark({ samples }: { samples: Samples }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const now = tick.value;
  const theme = themed.value;
  // The samples change in place, once a tick.
  useEffect(() => {
    if (canvas.current !== null) draw(canvas.current, samples.begun(FEWEST), true);
  }, [now, theme]);
  return (
    <canvas
      ref={canvas}
      class="spark"
      role="img"
      aria-label={`Events per second over the last two minutes, at most ${rate(samples.max())}`}
    />
  );
}
