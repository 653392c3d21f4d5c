// Query: what matches now as a table that keeps itself up to date, and what can be done with it.

import { computed } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { hrefOf, param } from "../address.ts";
import { useKeys } from "../keys.ts";
import { equals } from "../logic/address.ts";
import { compact, grouped, span } from "../logic/format.ts";
import { byName, clean, shown } from "../logic/names.ts";
import { SEVERITY, STATES, type State } from "../logic/state.ts";
import { type Cell, metricOf } from "../logic/store.ts";
import {
  changes,
  look,
  opened,
  openStream,
  query,
  refusal,
  serverNow,
  settled,
  store,
  tick,
} from "../page.ts";
import { Empty } from "../parts/empty.tsx";
import { Glyph } from "../parts/glyph.tsx";
import { focusQuery } from "../parts/query.tsx";
import { openViews } from "../parts/views.tsx";
import "../styles/results.css";

/** Rows that are shown; more are counted. */
const MOST = 300;

const ORDERS = ["state", "host", "service", "metric", "time"] as const;
type By = (typeof ORDERS)[number];

const by = param<By>("by", "state", ORDERS);
const down = param("down", "", ["", "1"]);

const COMPARE: Readonly<Record<By, (a: Cell, b: Cell) => number>> = {
  state: (a, b) => SEVERITY[b.state] - SEVERITY[a.state],
  host: (a, b) => byName(a.host, b.host),
  service: (a, b) => byName(a.service, b.service),
  metric: (a, b) => (metricOf(b) ?? Number.NEGATIVE_INFINITY) - (metricOf(a) ?? Number.NEGATIVE_INFINITY),
  time: (a, b) => b.at - a.at,
};

/** The first so many in order, and how many there are of each state. */
function results(): { cells: Cell[]; states: ReadonlyMap<State, number> } {
  const cells = [...store.cells()];
  const states = new Map<State, number>();
  for (const { state } of cells) states.set(state, (states.get(state) ?? 0) + 1);
  const order = COMPARE[by.value];
  const sign = down.value === "1" ? -1 : 1;
  cells.sort((a, b) => sign * order(a, b) || byName(a.host, b.host) || byName(a.service, b.service));
  return { cells: cells.slice(0, MOST), states };
}

/** The query with one more condition. */
function narrowed(more: string): string {
  return query.value === "" ? more : `(${query.value}) and ${more}`;
}

function States({ states }: { states: ReadonlyMap<State, number> }) {
  return (
    <ul class="result-states" aria-label="Streams by state">
      {STATES.filter((state) => (states.get(state) ?? 0) > 0).map((state) => (
        <li key={state}>
          <button
            type="button"
            class={`result-state ink-${state}`}
            disabled={state === "other" || state === "none"}
            title={`Only those: and state = "${state}"`}
            onClick={() => look(narrowed(equals("state", state)))}
          >
            <Glyph state={state} />
            <b>{grouped(states.get(state) ?? 0)}</b> {state}
          </button>
        </li>
      ))}
    </ul>
  );
}

function Head({ name, title }: { name: By; title: string }) {
  const on = by.value === name;
  return (
    <th
      scope="col"
      class={name === "metric" || name === "time" ? "number" : ""}
      aria-sort={on ? (down.value === "1" ? "descending" : "ascending") : undefined}
    >
      <button
        type="button"
        title={`Sort by ${title}`}
        onClick={() => {
          down.set(on && down.value === "" ? "1" : "");
          by.set(name);
        }}
      >
        {title}
        {on && (down.value === "1" ? " ↑" : " ↓")}
      </button>
    </th>
  );
}

function Line({ cell, now }: { cell: Cell; now: number }) {
  const { host, service, state, event } = cell;
  const at = opened.value;
  return (
    <tr
      class={`rule ${at?.host === host && at.service === service ? "rule-open" : ""}`}
      onClick={() => openStream(host, service)}
    >
      <td class={`ink-${state}`}>
        <span class="status">
          <Glyph state={state} />
          <span>{clean(event.state ?? "none", 40)}</span>
        </span>
      </td>
      <td>
        <bdi>{shown(host)}</bdi>
      </td>
      <th scope="row">
        <button type="button" onClick={() => openStream(host, service)}>
          <bdi>{shown(service)}</bdi>
        </button>
      </th>
      <td class="number">
        <b>{compact(event.metric)}</b>
      </td>
      <td class="number quiet">{span((now - cell.at) / 1000)}</td>
      <td class="result-text quiet">
        <bdi>{clean(event.description ?? "", 160)}</bdi>
      </td>
      <td class="result-tags quiet">
        {(event.tags ?? [])
          .slice(0, 5)
          .map(String)
          .map((tag) => clean(tag, 40))
          .join(", ")}
      </td>
    </tr>
  );
}

/** The text as one word of a shell. */
const shell = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

function Command() {
  const [copied, setCopied] = useState(false);
  const text = `tidegate query ${shell(query.value === "" ? "true" : query.value)}`;
  useEffect(() => setCopied(false), [text]);
  return (
    <div class="result-command">
      <code tabIndex={0}>{text}</code>
      <button
        type="button"
        class="tool"
        onClick={() => void navigator.clipboard?.writeText(text).then(() => setCopied(true))}
      >
        {copied ? "copied" : "copy"}
      </button>
    </div>
  );
}

/** Grows when the table is to be made anew: once a second, and at once when another query has its answer. */
const drawn = computed(() => `${tick.value} ${settled.value} ${store.size > 0 && changes.value > 0}`);

export function QueryView() {
  void drawn.value;
  useKeys("Query", [
    { keys: "i", does: "type in the query", act: focusQuery },
    { keys: "w", does: "worst first", act: () => by.set("state") },
  ]);
  const { cells, states } = results();
  const now = serverNow();
  return (
    <section class="panel results" aria-labelledby="results-title">
      <div class="panel-head">
        <h2 id="results-title">
          {grouped(store.size)} {store.size === 1 ? "stream" : "streams"}
        </h2>
        <States states={states} />
        <div class="tools">
          <a class="tool" href={hrefOf("grid")}>
            as a grid
          </a>
          <a class="tool" href={hrefOf("stream")}>
            as they come
          </a>
          <button type="button" class="tool" onClick={openViews} title="Saved views (v)">
            save
          </button>
        </div>
      </div>
      {store.size === 0 && refusal.value === null ? (
        <div class="results-empty">
          <Empty />
        </div>
      ) : (
        <div class="table-box" tabIndex={0} role="region" aria-label="Streams that match">
          <table>
            <thead>
              <tr>
                <Head name="state" title="state" />
                <Head name="host" title="host" />
                <Head name="service" title="service" />
                <Head name="metric" title="metric" />
                <Head name="time" title="age" />
                <th scope="col" class="result-text">
                  description
                </th>
                <th scope="col" class="result-tags">
                  tags
                </th>
              </tr>
            </thead>
            <tbody>
              {cells.map((cell) => (
                <Line key={JSON.stringify([cell.host, cell.service])} cell={cell} now={now} />
              ))}
            </tbody>
          </table>
          {store.size > MOST && (
            <p class="quiet pad">
              The first {MOST} of {grouped(store.size)}: narrow the query to see the others.
            </p>
          )}
        </div>
      )}
      <Command />
    </section>
  );
}
