// All that an event says, as rows. Every text goes in as text.

import type { Event } from "../contract.ts";
import { compact, span, timeOfDay } from "../logic/format.ts";
import { clean, cleanText, shown } from "../logic/names.ts";
import { stateOf } from "../logic/state.ts";
import { Glyph } from "./glyph.tsx";

const FIRST = ["host", "service", "state", "description", "metric", "tags", "time", "ttl"];

/** More attributes than this are counted and not shown. */
const MOST_ATTRIBUTES = 64;

function plain(value: unknown): string {
  return typeof value === "string" ? value : (JSON.stringify(value) ?? String(value));
}

/** One event in a line of text. */
export function spoken(event: Event, now: number): string {
  const age = event.time === null ? "" : `, ${span((now - Date.parse(event.time)) / 1000)} ago`;
  const metric = event.metric === null ? "" : `, metric ${compact(event.metric)}`;
  return `${shown(event.host)}, ${shown(event.service)}: ${clean(event.state ?? "no state")}${metric}${age}`;
}

/** The fields of an event; `brief` leaves out what is absent and what the heading says. */
export function Fields({ event, now, brief }: { event: Event; now: number; brief?: boolean }) {
  const attributes = Object.keys(event).filter((key) => !FIRST.includes(key) && event[key] !== null);
  const at = event.time === null ? Number.NaN : Date.parse(event.time);
  const age = (now - at) / 1000;
  const ttl = event.ttl ?? 60;
  const left = ttl - age;
  const rows: [string, string][] = [];
  if (brief !== true) rows.push(["host", shown(event.host)], ["service", shown(event.service)]);
  if (event.metric !== null) rows.push(["metric", plain(event.metric)]);
  if (event.description !== null) rows.push(["description", cleanText(event.description)]);
  if (event.tags !== null && event.tags.length > 0)
    rows.push(["tags", event.tags.map((tag) => clean(String(tag))).join(", ")]);
  if (!Number.isNaN(at)) {
    rows.push([
      "time",
      `${timeOfDay(at, true)} UTC, ${age >= 0 ? `${span(age)} ago` : `${span(-age)} ahead of the server`}`,
    ]);
    if (event.state !== "expired") {
      rows.push([
        "ttl",
        `${span(ttl)}${event.ttl === null ? " (usual)" : ""}, ${left > 0 ? `expires in ${span(left)}` : "due to expire"}`,
      ]);
    }
  }
  for (const key of attributes.slice(0, MOST_ATTRIBUTES))
    rows.push([clean(key, 60), cleanText(plain(event[key]))]);
  if (attributes.length > MOST_ATTRIBUTES)
    rows.push(["…", `${attributes.length - MOST_ATTRIBUTES} more attributes`]);
  const state = stateOf(event);
  return (
    <dl class="fields">
      <div>
        <dt>state</dt>
        <dd class={`ink-${state}`}>
          <Glyph state={state} /> <bdi>{clean(event.state ?? "none")}</bdi>
        </dd>
      </div>
      {rows.map(([key, value], n) => (
        <div key={n}>
          <dt>
            <bdi>{key}</bdi>
          </dt>
          <dd>
            <bdi>{value}</bdi>
          </dd>
        </div>
      ))}
    </dl>
  );
}
