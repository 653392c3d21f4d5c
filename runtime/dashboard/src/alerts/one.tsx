// One alert: why there is one, what was done about it, and what can be done.

import { useEffect } from "preact/hooks";
import { hrefOf } from "../address.ts";
import { useGet } from "../api.ts";
import type { Alert, Event } from "../contract.ts";
import { compact, grouped, span, timeOfDay } from "../logic/format.ts";
import { clean, cleanText, shown } from "../logic/names.ts";
import { type State, stateOf } from "../logic/state.ts";
import { openStream, serverNow, tick } from "../page.ts";
import { Glyph } from "../parts/glyph.tsx";
import { acknowledge, resolve, silence, unacknowledge } from "./act.ts";
import type { AlertInFull } from "./contract.ts";
import { Course } from "./course.tsx";
import { closeAlert, duration, Marks, renew, renewed } from "./list.tsx";

/** Events and steps that are shown. */
const MOST = 50;

export function Tools({ alerts }: { alerts: readonly Alert[] }) {
  const none = alerts.length === 0;
  const free = alerts.some(({ acknowledged, status }) => acknowledged === null && status !== "resolved");
  const held = alerts.some(({ acknowledged }) => acknowledged !== null);
  return (
    <div class="side-tools">
      {free && (
        <button
          type="button"
          class="primary small"
          onClick={() => acknowledge(alerts, false, renew)}
          title="Somebody looks after it (a); with a note (A)"
        >
          acknowledge <kbd>a</kbd>
        </button>
      )}
      {held && (
        <button
          type="button"
          class="tool"
          onClick={() => unacknowledge(alerts, renew)}
          title="Take that back (u)"
        >
          unacknowledge
        </button>
      )}
      <button type="button" class="tool" disabled={none} onClick={() => silence(alerts, renew)}>
        silence… <kbd>x</kbd>
      </button>
      <button type="button" class="tool" disabled={none} onClick={() => resolve(alerts, renew)}>
        resolve…
      </button>
    </div>
  );
}

export function One({ id }: { id: string }) {
  const { data: alert, error, again } = useGet<AlertInFull>(`alerts/${encodeURIComponent(id)}`, {}, 3_000);
  const turn = renewed.value;
  useEffect(() => {
    if (turn > 0) again();
  }, [turn]);
  void tick.value;
  const now = serverNow();
  return (
    <section class="panel side" aria-labelledby="alert-title">
      <div class="panel-head">
        <h2 id="alert-title">
          {alert !== null && <Glyph state={alert.status === "resolved" ? "ok" : stateOf(alert)} />}{" "}
          <bdi>{alert === null ? "Alert" : shown(alert.service)}</bdi>
        </h2>
        {alert !== null && (
          <span class="counts">
            <bdi>{shown(alert.host)}</bdi>
          </span>
        )}
        <button type="button" class="icon" aria-label="Close this alert" onClick={closeAlert}>
          ×
        </button>
      </div>
      {alert === null ? (
        <p class="quiet pad">{error === null ? "Asking for the alert…" : clean(error.message)}</p>
      ) : (
        <>
          <Tools alerts={[alert]} />
          <div class="side-body" tabIndex={0} role="region" aria-label="The alert">
            <Facts alert={alert} now={now} />
            <Why alert={alert} now={now} />
            <Told alert={alert} now={now} />
          </div>
        </>
      )}
    </section>
  );
}

function Facts({ alert, now }: { alert: AlertInFull; now: number }) {
  const { acknowledged } = alert;
  return (
    <>
      <p class={`alert-huge ink-${alert.status === "resolved" ? "ok" : stateOf(alert)}`}>
        {alert.metric === null ? clean(alert.state ?? "") : compact(alert.metric)}
        <small>
          {alert.status === "resolved" ? "stood for" : "for"} {duration(alert, now)}
        </small>
      </p>
      <Marks alert={alert} />
      {alert.description !== null && alert.description !== "" && (
        <p class="lead">{cleanText(alert.description)}</p>
      )}
      {acknowledged !== null && (
        <p class="quiet">
          <bdi>{clean(acknowledged.by) || "Somebody"}</bdi> looks after it, since{" "}
          {span((now - Date.parse(acknowledged.at)) / 1000)}
          {acknowledged.note !== null && acknowledged.note !== "" && (
            <>
              : <q>{cleanText(acknowledged.note)}</q>
            </>
          )}
        </p>
      )}
      <Course
        host={alert.host}
        service={alert.service}
        since={Date.parse(alert.since)}
        until={alert.until === null ? null : Date.parse(alert.until)}
      />
      <p class="side-links">
        <button type="button" class="linked" onClick={() => openStream(alert.host, alert.service)}>
          the stream
        </button>
        <a href={hrefOf("rules", { rule: alert.rule })}>rule {clean(alert.rule)}</a>
        <a href={hrefOf("rules", { rule: alert.rule, tab: "log" })}>its log</a>
        <a href={hrefOf("backtest", { rule: alert.rule })}>backtest</a>
      </p>
    </>
  );
}

const stated = (state: unknown): { state: State; text: string } => {
  const text =
    typeof state === "string"
      ? state
      : state === null || state === undefined
        ? "none"
        : JSON.stringify(state);
  return { state: stateOf({ state: typeof state === "string" ? state : null }), text: cleanText(text) };
};

/** From which state to which; a state that is more than a word stands on lines of its own. */
function FromTo({ before, after }: { before: unknown; after: unknown }) {
  const [from, to] = [stated(before), stated(after)];
  return (
    <p class="from-to">
      <span class={`ink-${from.state}`}>
        <Glyph state={from.state} /> <bdi>{from.text}</bdi>
      </span>
      <span aria-hidden="true">→</span>
      <span class="hidden">to</span>
      <span class={`ink-${to.state}`}>
        <Glyph state={to.state} /> <bdi>{to.text}</bdi>
      </span>
    </p>
  );
}

function Why({ alert, now }: { alert: AlertInFull; now: number }) {
  const why = alert.why;
  const events = why?.events ?? [];
  return (
    <section class="why" aria-labelledby="why-title">
      <h3 id="why-title">Why</h3>
      <p>
        Rule{" "}
        <a href={hrefOf("rules", { rule: why?.rule ?? alert.rule })}>
          <bdi>{clean(why?.rule ?? alert.rule)}</bdi>
        </a>
        , version {clean(why?.version ?? alert.version)}, generation {why?.generation ?? alert.generation},
        said so to <bdi>{clean(alert.output)}</bdi>.
      </p>
      <FromTo before={why?.before ?? alert.before} after={why?.after ?? alert.after} />
      {events.length > 0 && (
        <div class="table-box" tabIndex={0} role="region" aria-label="The events">
          <table class="events">
            <thead>
              <tr>
                <th scope="col">time</th>
                <th scope="col">state</th>
                <th scope="col" class="number">
                  metric
                </th>
                <th scope="col">event</th>
              </tr>
            </thead>
            <tbody>
              {events
                .slice(-MOST)
                .toReversed()
                .map((event, n) => (
                  <Cause key={n} event={event} now={now} />
                ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}

function Cause({ event, now }: { event: Event; now: number }) {
  const at = event.time === null ? Number.NaN : Date.parse(event.time);
  const state = stateOf(event);
  return (
    <tr title={Number.isNaN(at) ? "" : `${span((now - at) / 1000)} ago`}>
      <td>{timeOfDay(at, true)}</td>
      <td class={`ink-${state}`}>
        <Glyph state={state} /> {clean(event.state ?? "none")}
      </td>
      <td class="number">{compact(event.metric)}</td>
      <td class="event-text">
        <bdi>{clean(event.description ?? `${shown(event.service)} on ${shown(event.host)}`)}</bdi>
      </td>
    </tr>
  );
}

function Told({ alert, now }: { alert: AlertInFull; now: number }) {
  const steps = [
    ...alert.history.map(({ at, what, by, note }) => ({ at, what, by, note })),
    ...alert.notified.map(({ at, to, notice }) => ({
      at,
      what: `told ${to}: ${notice}`,
      by: null,
      note: null,
    })),
  ].sort((a, b) => Date.parse(b.at) - Date.parse(a.at));
  if (steps.length === 0) return null;
  return (
    <section aria-labelledby="told-title">
      <h3 id="told-title">What happened</h3>
      <ol class="steps">
        {steps.slice(0, MOST).map(({ at, what, by, note }, n) => (
          <li key={n}>
            <time dateTime={at} title={`${span((now - Date.parse(at)) / 1000)} ago`}>
              {timeOfDay(Date.parse(at), true)}
            </time>
            <span>
              {clean(what)}
              {by !== null && by !== undefined && by !== "" && <> by {clean(by)}</>}
              {note !== null && note !== undefined && note !== "" && (
                <>
                  {" "}
                  <q>{cleanText(note)}</q>
                </>
              )}
            </span>
          </li>
        ))}
      </ol>
      {steps.length > MOST && <p class="quiet">and {grouped(steps.length - MOST)} earlier</p>}
    </section>
  );
}
