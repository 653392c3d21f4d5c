// The log of alerts: what is not well, since when, who looks after it.

import { signal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { alter, param } from "../address.ts";
import { useGet } from "../api.ts";
import type { Alert, AlertList } from "../contract.ts";
import { compact, grouped, span, timeOfDay } from "../logic/format.ts";
import { clean, shown } from "../logic/names.ts";
import { stateOf } from "../logic/state.ts";
import { alerts as pushed, serverNow, tick } from "../page.ts";
import { Glyph } from "../parts/glyph.tsx";

const SHOWS = ["open", "firing", "acknowledged", "silenced", "resolved", "all", "silences"] as const;
export type Show = (typeof SHOWS)[number];

/** Which alerts are listed; `silences` lists those instead. */
export const show = param<Show>("show", "open", SHOWS);
/** The alert that is open beside the list. */
export const chosen = param("alert", "");
const where = param("where", "");

/** Alerts that are marked, by id, so that something can be done to all of them. */
export const marked = signal<ReadonlySet<string>>(new Set());

const LIMIT = 200;

let listed: readonly Alert[] = [];

/** Asks for the list once more, after something was done. */
export const renewed = signal(0);
export const renew = (): void => {
  renewed.value++;
};

/** What a key means now: the marked ones, or else the one that is open. */
export function meant(): Alert[] {
  const some = listed.filter(({ id }) => marked.value.has(id));
  return some.length > 0 ? some : listed.filter(({ id }) => id === chosen.value);
}

export function step(by: 1 | -1): void {
  const at = listed.findIndex(({ id }) => id === chosen.value);
  const next = listed[at < 0 ? (by > 0 ? 0 : listed.length - 1) : at + by];
  if (next === undefined) return;
  chosen.set(next.id);
  document.getElementById(`alert-${next.id}`)?.scrollIntoView({ block: "nearest" });
}

export function mark(id: string): void {
  const next = new Set(marked.value);
  if (!next.delete(id)) next.add(id);
  marked.value = next;
}

export function closeAlert(): void {
  if (marked.value.size > 0) marked.value = new Set();
  else alter({ alert: null });
}

export const FIND = "find-alert";

/** How long an alert has stood, or stood. */
export function duration(alert: Alert, now: number): string {
  const end = alert.until === null ? now : Date.parse(alert.until);
  const seconds = (end - Date.parse(alert.since)) / 1000;
  return span(Number.isFinite(seconds) ? seconds : alert.duration_s);
}

/** What stands beside an alert: who has it, why it is quiet, whether it flaps. */
export function Marks({ alert }: { alert: Alert }) {
  return (
    <span class="marks">
      {alert.acknowledged !== null && (
        <em class="mark-ack" title={clean(alert.acknowledged.note ?? "")}>
          {clean(alert.acknowledged.by, 30) || "acknowledged"}
        </em>
      )}
      {alert.status === "silenced" && <em class="mark-silent">silenced</em>}
      {alert.status === "resolved" && <em class="mark-done">resolved</em>}
      {alert.flapping && <em class="mark-flap">flapping</em>}
      {alert.escalated > 0 && (
        <em class="mark-up">escalated{alert.escalated > 1 ? ` × ${alert.escalated}` : ""}</em>
      )}
    </span>
  );
}

function Row({ alert, now }: { alert: Alert; now: number }) {
  const state = stateOf(alert);
  const open = alert.id === chosen.value;
  const since = Date.parse(alert.since);
  return (
    <li
      id={`alert-${alert.id}`}
      class={`alert alert-${alert.status} alert-${state} ${open ? "alert-open" : ""}`}
    >
      <input
        type="checkbox"
        aria-label={`Mark ${shown(alert.service)} on ${shown(alert.host)}`}
        checked={marked.value.has(alert.id)}
        onChange={() => mark(alert.id)}
      />
      <button
        type="button"
        aria-pressed={open}
        onClick={() => (open ? alter({ alert: null }) : chosen.set(alert.id))}
      >
        <Glyph state={alert.status === "resolved" ? "ok" : state} />
        <span class="alert-what">
          <b>
            <bdi>{shown(alert.service)}</bdi>
          </b>
          <span class="alert-where">
            <bdi>{shown(alert.host)}</bdi>
          </span>
        </span>
        <span class={`alert-metric ink-${alert.status === "resolved" ? "none" : state}`}>
          {alert.metric === null ? clean(alert.state ?? "") : compact(alert.metric)}
        </span>
        <span class="alert-text">
          <Marks alert={alert} />
          <bdi>{clean(alert.description ?? "")}</bdi>
        </span>
        <span class="alert-rule">
          <bdi>{clean(alert.rule)}</bdi> <small>{clean(alert.version)}</small>
        </span>
        <span class="alert-time">
          <b>{duration(alert, now)}</b>
          <small>
            since {timeOfDay(since, true)}
            {alert.events > 1 && <> · {compact(alert.events)} events</>}
          </small>
        </span>
      </button>
    </li>
  );
}

const COUNTS: Readonly<Partial<Record<Show, (list: AlertList) => number>>> = {
  firing: (list) => list.firing,
  acknowledged: (list) => list.acknowledged,
  silenced: (list) => list.silenced,
  open: (list) => list.firing + list.acknowledged + list.silenced,
};

/** Which alerts, as buttons. */
export function Shows({ counts }: { counts: AlertList | null }) {
  return (
    <div class="tabs" role="group" aria-label="Which alerts">
      {SHOWS.map((each) => {
        const count = counts === null ? undefined : COUNTS[each]?.(counts);
        return (
          <button key={each} type="button" aria-pressed={show.value === each} onClick={() => show.set(each)}>
            {each}
            {count !== undefined && <span class={`count count-${each}`}>{grouped(count)}</span>}
          </button>
        );
      })}
    </div>
  );
}

function Filter({ problem }: { problem: string | null }) {
  const [text, setText] = useState(where.value);
  useEffect(() => setText(where.value), [where.value]);
  return (
    <form
      class="filter"
      role="search"
      onSubmit={(event) => {
        event.preventDefault();
        where.set(text.trim(), true);
      }}
    >
      <input
        id={FIND}
        class="find code"
        type="search"
        value={text}
        placeholder={'a query, like host =~ "web%"'}
        aria-label="Query for alerts"
        aria-invalid={problem !== null}
        spellcheck={false}
        autocomplete="off"
        onInput={(event) => {
          setText(event.currentTarget.value);
          if (event.currentTarget.value === "") where.set("");
        }}
      />
      {problem !== null && (
        <span class="complaint" role="alert">
          {problem}
        </span>
      )}
    </form>
  );
}

export function List({ act }: { act: preact.ComponentChildren }) {
  const [status, q] = [show.value, where.value];
  const { data, error, again } = useGet<AlertList>(
    "alerts",
    { status, q: q === "" ? null : q, limit: LIMIT },
    3_000,
  );
  const turn = renewed.value;
  useEffect(() => {
    if (turn > 0) again();
  }, [turn]);
  const live = status === "open" && q === "" ? pushed.value : null;
  const list = live ?? data;
  void tick.value;
  const now = serverNow();
  listed = list?.alerts ?? [];
  // What is no longer listed is not meant any more.
  const stale = list !== null && [...marked.value].some((id) => !listed.some((alert) => alert.id === id));
  useEffect(() => {
    if (stale) marked.value = new Set(listed.filter(({ id }) => marked.value.has(id)).map(({ id }) => id));
  }, [stale]);
  const count = marked.value.size;
  const all = listed.length > 0 && listed.every(({ id }) => marked.value.has(id));
  return (
    <section class="panel list alerts" aria-labelledby="alerts-title">
      <div class="panel-head">
        <h2 id="alerts-title">Alerts</h2>
        <Shows counts={pushed.value ?? list} />
        <Filter problem={error?.refused === true ? clean(error.message) : null} />
      </div>
      <div class="bulk">
        <label class="check">
          <input
            type="checkbox"
            checked={all}
            disabled={listed.length === 0}
            onChange={() => {
              marked.value = all ? new Set() : new Set(listed.map(({ id }) => id));
            }}
          />
          <span>{count === 0 ? `${grouped(list?.total ?? 0)} listed` : `${count} marked`}</span>
        </label>
        {act}
      </div>
      {list === null ? (
        <p class="quiet pad">{error === null ? "Asking for alerts…" : clean(error.message)}</p>
      ) : listed.length === 0 ? (
        <Calm status={status} filtered={q !== ""} />
      ) : (
        <div class="list-box">
          <ol>
            {listed.map((alert) => (
              <Row key={alert.id} alert={alert} now={now} />
            ))}
          </ol>
          {list.next !== null && (
            <p class="quiet pad">These are the first {grouped(listed.length)}; a query finds others.</p>
          )}
        </div>
      )}
    </section>
  );
}

function Calm({ status, filtered }: { status: Show; filtered: boolean }) {
  const good = !filtered && (status === "open" || status === "firing");
  return (
    <div class="calm">
      {good && <Glyph state="ok" />}
      <h3>{good ? "All is well" : "None"}</h3>
      <p class="quiet">
        {good ? (
          <>
            Nothing is on fire. What a rule sends to an output of <code>type = "alerts"</code> is listed here.
          </>
        ) : filtered ? (
          "No alert matches the query."
        ) : (
          `No alert is ${status === "all" ? "in the log" : status}.`
        )}
      </p>
    </div>
  );
}
