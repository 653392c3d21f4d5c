// One stream in full beside any view: its course over time, all of its latest event, and where to go from it.

import { useEffect, useRef, useState } from "preact/hooks";
import { flag, go, hrefOf } from "../address.ts";
import { useGet } from "../api.ts";
import type { Event } from "../contract.ts";
import { useKeys } from "../keys.ts";
import { equals } from "../logic/address.ts";
import { compact, span } from "../logic/format.ts";
import { type Name, shown } from "../logic/names.ts";
import { stateOf } from "../logic/state.ts";
import { alerts, changes, closeStream, opened, serverNow, store, tick } from "../page.ts";
import { Course } from "./course.tsx";
import { Fields } from "./event.tsx";
import { Glyph } from "./glyph.tsx";
import { SpanPicker } from "./span.tsx";
import "../styles/detail.css";

const wide = flag("wide");

export function closeDetail(): void {
  closeStream();
  document.getElementById("grid")?.focus();
}

/** The query for one stream. */
const queryOf = (host: Name, service: Name) => `${equals("host", host)} and ${equals("service", service)}`;

/** Seconds between two questions for a stream that the page does not follow. */
const ASK = 2_000;

/** The latest event of a stream: out of the grid's streams, or asked for. */
function useLatest(host: Name, service: Name): { event: Event | null; known: boolean } {
  const cell = store.get(host, service);
  const { data } = useGet<{ events: Event[] }>(
    cell === undefined ? "query" : null,
    { q: queryOf(host, service), limit: 1 },
    ASK,
  );
  if (cell !== undefined) return { event: cell.event, known: true };
  return { event: data?.events[0] ?? null, known: data !== null };
}

function OpenAlert({ host, service }: { host: Name; service: Name }) {
  void tick.value;
  const found = (alerts.value?.alerts ?? []).filter(
    (alert) => alert.host === host && alert.service === service,
  );
  return (
    <>
      {found.slice(0, 3).map((alert) => (
        <a key={alert.id} class="detail-alert" href={hrefOf("alerts", { alert: alert.id })}>
          <Glyph state={stateOf(alert)} />
          alert, {alert.status} for {span((serverNow() - Date.parse(alert.since)) / 1000)}
        </a>
      ))}
    </>
  );
}

function Body({ host, service }: { host: Name; service: Name }) {
  void changes.value;
  void tick.value;
  const { event, known } = useLatest(host, service);
  const box = useRef<HTMLDivElement>(null);
  const [height, setHeight] = useState(190);
  useEffect(() => {
    const measure = () => setHeight(wide.value ? Math.max(220, Math.round(innerHeight * 0.5)) : 190);
    measure();
    addEventListener("resize", measure);
    return () => removeEventListener("resize", measure);
  }, [wide.value]);
  const state = event === null ? "none" : stateOf(event);
  return (
    <div class="detail-body" ref={box}>
      <p class="on">
        on <bdi>{shown(host)}</bdi>
      </p>
      {event !== null && (
        <p class={`huge ink-${state}`}>
          <Glyph state={state} /> {event.metric === null ? shown(event.state) : compact(event.metric)}
        </p>
      )}
      <OpenAlert host={host} service={service} />
      <SpanPicker />
      <Course host={host} service={service} height={height} />
      {event === null ? (
        <p class="quiet">
          {known
            ? "This stream is not in the index: it expired, or never was."
            : "Waiting for its latest event…"}
        </p>
      ) : (
        <Fields event={event} now={serverNow()} />
      )}
      <p class="detail-tools">
        <a class="tool" href={hrefOf("grid", { q: equals("host", host) })}>
          all of this host
        </a>
        <a class="tool" href={hrefOf("grid", { q: equals("service", service) })}>
          all of this service
        </a>
        <a class="tool" href={hrefOf("stream", { q: queryOf(host, service) })}>
          its events
        </a>
      </p>
    </div>
  );
}

export function Detail() {
  const at = opened.value;
  const close = useRef<HTMLButtonElement>(null);
  useKeys("A stream", [
    {
      keys: "m",
      does: "larger or smaller",
      act: () => wide.set(!wide.value),
      when: () => opened.value !== null,
    },
    {
      keys: "T",
      does: "its events as they come",
      act: () => {
        const stream = opened.value;
        if (stream !== null) go("stream", { q: queryOf(stream.host, stream.service) });
      },
      when: () => opened.value !== null,
    },
  ]);
  // The focus moves when the panel opens, and not with every event.
  useEffect(() => {
    if (at !== null && document.activeElement?.id !== "grid") close.current?.focus();
  }, [at === null]);
  if (at === null) return null;
  return (
    <aside
      class={`panel detail ${wide.value ? "detail-wide" : ""}`}
      aria-label="Stream in full"
      onKeyDown={(event) => {
        if (event.key !== "Escape") return;
        event.stopPropagation();
        event.preventDefault();
        closeDetail();
      }}
    >
      <div class="panel-head">
        <h2>
          <bdi>{shown(at.service)}</bdi>
        </h2>
        <span class="detail-buttons">
          <button
            type="button"
            class="icon"
            aria-pressed={wide.value}
            aria-label="Larger"
            title="Larger or smaller (m)"
            onClick={() => wide.set(!wide.value)}
          >
            {wide.value ? "»" : "«"}
          </button>
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
        </span>
      </div>
      <Body key={JSON.stringify([at.host, at.service])} host={at.host} service={at.service} />
    </aside>
  );
}
