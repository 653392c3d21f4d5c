// One stream in full, kept up to date while it is open.

import { useEffect, useRef } from "preact/hooks";
import { go } from "../address.ts";
import { equals } from "../logic/address.ts";
import { compact } from "../logic/format.ts";
import { shown } from "../logic/names.ts";
import { Samples } from "../logic/ring.ts";
import { metricOf } from "../logic/store.ts";
import { changes, closeStream, opened, SPARK, serverNow, store, tick } from "../page.ts";
import { Fields } from "./event.tsx";
import { draw, FEWEST } from "./spark.tsx";
import "../styles/detail.css";

export function closeDetail(): void {
  closeStream();
  document.getElementById("grid")?.focus();
}

/** The metric since the panel was opened, one sample a second. */
function Course({ host, service }: { host: string | null; service: string | null }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const samples = useRef(new Samples(SPARK));
  const now = tick.value;
  // One sample a tick, whatever else changed.
  useEffect(() => {
    const cell = store.get(host, service);
    samples.current.push(cell === undefined ? Number.NaN : (metricOf(cell) ?? Number.NaN));
    if (canvas.current !== null) draw(canvas.current, samples.current.begun(FEWEST), false);
  }, [now]);
  const values = Array.from(samples.current.values).filter((value) => !Number.isNaN(value));
  return (
    <figure class="course">
      <canvas
        ref={canvas}
        class="spark"
        role="img"
        aria-label="Metric since this panel was opened, at most two minutes"
      />
      <figcaption>
        <span>metric while open</span>
        {values.length > 1 && (
          <span>
            {compact(Math.min(...values))} … {compact(Math.max(...values))}
          </span>
        )}
      </figcaption>
    </figure>
  );
}

export function Detail() {
  const at = opened.value;
  void changes.value;
  void tick.value;
  const close = useRef<HTMLButtonElement>(null);
  const key = at === null ? "" : JSON.stringify([at.host, at.service]);
  // The focus moves when the panel opens, and not with every event.
  useEffect(() => {
    if (at !== null && document.activeElement?.id !== "grid") close.current?.focus();
  }, [at === null]);
  if (at === null) return null;
  const cell = store.get(at.host, at.service);
  return (
    <aside
      class="panel detail"
      aria-label="Stream in full"
      onKeyDown={(event) => {
        if (event.key !== "Escape") return;
        event.stopPropagation();
        closeDetail();
      }}
    >
      <div class="panel-head">
        <h2>
          <bdi>{shown(at.service)}</bdi>
        </h2>
        <button
          type="button"
          ref={close}
          class="icon"
          aria-label="Close"
          title="Close (Esc)"
          onClick={closeDetail}
        >
          ×
        </button>
      </div>
      <div class="detail-body">
        <p class="on">
          on <bdi>{shown(at.host)}</bdi>
        </p>
        {cell === undefined ? (
          <p class="quiet">
            This stream is not in the grid any more: it expired, or the query does not want it.
          </p>
        ) : (
          <>
            {metricOf(cell) !== null && <p class={`huge ink-${cell.state}`}>{compact(metricOf(cell))}</p>}
            {metricOf(cell) !== null && <Course key={key} host={at.host} service={at.service} />}
            <Fields event={cell.event} now={serverNow()} />
          </>
        )}
        <p class="detail-tools">
          <button type="button" onClick={() => go("grid", { q: equals("host", at.host) })}>
            only this host
          </button>
          <button type="button" onClick={() => go("grid", { q: equals("service", at.service) })}>
            only this service
          </button>
        </p>
      </div>
    </aside>
  );
}
