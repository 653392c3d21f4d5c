// Stream: events as they come, or what rules said; an event that is opened tells what every rule did with it.

import { useEffect, useRef } from "preact/hooks";
import { param } from "../address.ts";
import { useKeys } from "../keys.ts";
import { compact, grouped, rate as perSecond, timeOfDay } from "../logic/format.ts";
import { clean, shown } from "../logic/names.ts";
import { stateOf } from "../logic/state.ts";
import { MOST_TAILED, type Row } from "../logic/tail.ts";
import { missedWhilePaused, openStream, pause, paused, query, refusal, said, tick } from "../page.ts";
import { Explain, explained } from "../parts/explain.tsx";
import { Glyph } from "../parts/glyph.tsx";
import { Said } from "../parts/said.tsx";
import { held, hold, tail, tailed, trouble, useTap } from "../tap.ts";
import "../styles/stream.css";

const RATES = ["5", "20", "100", "500"] as const;

/** Events a second that are asked for; the server counts what it leaves out. */
const rate = param("rate", "20", RATES);
const showing = param("show", "", ["", "said"]);

const LIST = "tail";

/** Where an event stands in the log; null for what the index made, which no rule has seen as an event of the log. */
const placeOf = ({ position, row }: Row) => (row === null ? null : `${position}:${row}`);

/** Moves the open event by so many rows; opens the first when none is. */
function move(by: number): void {
  const rows = tail.rows.filter(({ row }) => row !== null);
  const at = rows.findIndex((row) => placeOf(row) === explained.value);
  const next = rows[at < 0 ? 0 : Math.max(0, Math.min(rows.length - 1, at + by))];
  if (next === undefined) return;
  hold(true);
  explained.set(placeOf(next) ?? "", explained.value === "");
  document.getElementById(`event-${next.id}`)?.scrollIntoView({ block: "nearest" });
}

function Line({ row, open }: { row: Row; open: boolean }) {
  const { event } = row;
  const state = stateOf(event);
  const place = placeOf(row);
  return (
    <li
      id={`event-${row.id}`}
      class={`event event-${state} ${open ? "event-open" : ""}`}
      aria-current={open ? "true" : undefined}
    >
      <button
        type="button"
        title={
          place === null ? "Nothing was heard of this stream any more: how it went until then" : undefined
        }
        onClick={() =>
          place === null
            ? openStream(event.host, event.service)
            : explained.set(open ? "" : place, explained.value === "")
        }
      >
        <time>{event.time === null ? "" : timeOfDay(Date.parse(event.time), true)}</time>
        <span class={`event-state ink-${state}`}>
          <Glyph state={state} />
          <span>{clean(event.state ?? "none", 40)}</span>
        </span>
        <span class="event-host">
          <bdi>{shown(event.host)}</bdi>
        </span>
        <span class="event-service">
          <bdi>{shown(event.service)}</bdi>
        </span>
        <span class="event-metric">{compact(event.metric)}</span>
        <span class="event-text">
          <bdi>{clean(event.description ?? "")}</bdi>
        </span>
        <span class="event-tags">
          {(event.tags ?? []).slice(0, 6).map((tag) => (
            <i key={tag}>{clean(String(tag), 40)}</i>
          ))}
        </span>
      </button>
      {row.after_break && (
        <p class="event-break ink-warning">The connection broke here: what came meanwhile is not listed.</p>
      )}
    </li>
  );
}

function Count() {
  void tailed.value;
  void tick.value;
  const per = tail.rate(Date.now());
  const left = tail.skipped;
  return (
    <span class="counts">
      {perSecond(per)} matching/s
      {left > 0 && (
        <span title="The server sends no more than the rate that is asked for, and counts the rest">
          , {compact(left)} left out
        </span>
      )}
    </span>
  );
}

/** Whether the list that is shown is held still, and how many items wait for it. */
const stopped = () => (showing.value === "said" ? paused.value : held.value);

function turn(): void {
  if (showing.value === "said") pause(!paused.value);
  else hold(!held.value);
}

function Rate() {
  return (
    <label class="tool-label">
      <span>at most</span>
      <select
        class="tool"
        value={rate.value}
        onChange={(event) => rate.set(event.currentTarget.value as (typeof RATES)[number])}
      >
        {RATES.map((each) => (
          <option key={each} value={each}>
            {each}/s
          </option>
        ))}
      </select>
    </label>
  );
}

function Tools() {
  void tailed.value;
  const still = stopped();
  if (still) void tick.value;
  const waiting = showing.value === "said" ? missedWhilePaused() : tail.held;
  return (
    <div class="tools" role="toolbar" aria-label="Stream">
      {showing.value === "" && <Rate />}
      <button
        type="button"
        class="tool"
        aria-pressed={still}
        title="Hold the list still (Space)"
        onClick={turn}
      >
        {still ? `go on, ${compact(waiting)} new` : "pause"}
      </button>
    </div>
  );
}

function Events() {
  void tailed.value;
  const list = useRef<HTMLDivElement>(null);
  useTap(query.value, Number(rate.value));
  // The newest stand on top, and whoever reads further down is not moved.
  useEffect(() => {
    if (list.current !== null && explained.value === "" && list.current.scrollTop < 40)
      list.current.scrollTop = 0;
  }, [tailed.value]);
  const rows = tail.rows;
  return (
    <>
      {trouble.value !== "" && (
        <p class="pad ink-warning" role="status">
          Nothing comes: {clean(trouble.value)}. This goes on by itself.
        </p>
      )}
      {rows.length === 0 ? (
        <p class="quiet pad">
          {refusal.value !== null
            ? "The query cannot be understood: nothing is shown."
            : "Waiting for the next event that matches…"}
        </p>
      ) : (
        <div
          class="list-box tail"
          id={LIST}
          data-space="list"
          ref={list}
          tabIndex={0}
          role="region"
          aria-label={`The latest events, newest first, at most ${MOST_TAILED}`}
        >
          <ol>
            {rows.map((row) => (
              <Line key={row.id} row={row} open={placeOf(row) === explained.value} />
            ))}
          </ol>
        </div>
      )}
    </>
  );
}

export function Stream() {
  useKeys("Stream", [
    { keys: " ", does: "pause, or go on", act: turn },
    { keys: "j", also: ["ArrowDown"], does: "next event, explained", act: () => move(1) },
    { keys: "k", also: ["ArrowUp"], does: "event before it", act: () => move(-1) },
    {
      keys: "+",
      also: ["="],
      does: "more events a second",
      act: () => rate.set(RATES[Math.min(RATES.length - 1, RATES.indexOf(rate.value) + 1)] ?? "20"),
    },
    {
      keys: "-",
      does: "fewer events a second",
      act: () => rate.set(RATES[Math.max(0, RATES.indexOf(rate.value) - 1)] ?? "20"),
    },
    {
      keys: "w",
      does: "what rules said, or all events",
      act: () => showing.set(showing.value === "" ? "said" : ""),
    },
    {
      keys: "Escape",
      act: () => explained.set(""),
      when: () => explained.value !== "",
    },
  ]);
  const all = showing.value === "";
  return (
    <div class="stream-split">
      <section class="panel stream-panel" aria-label="Events">
        <div class="panel-head">
          <div class="pair" role="group" aria-label="What is shown">
            <button type="button" aria-pressed={all} onClick={() => showing.set("")}>
              all events
            </button>
            <button type="button" aria-pressed={!all} onClick={() => showing.set("said")}>
              what rules said
            </button>
          </div>
          {all ? (
            <Count />
          ) : (
            <span class="counts">{grouped(said.value.total)} since the page was opened</span>
          )}
          <Tools />
        </div>
        {all ? <Events /> : <Said />}
      </section>
      {all && explained.value !== "" && <Explain />}
    </div>
  );
}
