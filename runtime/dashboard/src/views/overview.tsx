// Overview: the wall. What is read from across the room: states, rate, the oldest alert, inputs and outputs. It never scrolls.

import { useEffect, useRef, useState } from "preact/hooks";
import { go, hrefOf } from "../address.ts";
import type { Alert, States } from "../contract.ts";
import { useKeys } from "../keys.ts";
import { bytes, compact, grouped, percent, rate, span } from "../logic/format.ts";
import { type Health, Losses, ofInput, ofOutput, worstFirst } from "../logic/health.ts";
import { clean, shown } from "../logic/names.ts";
import { type State, stateOf } from "../logic/state.ts";
import { alerts, link, overview, samples, serverNow, settled, tick } from "../page.ts";
import { Empty } from "../parts/empty.tsx";
import { Glyph } from "../parts/glyph.tsx";
import { Spark } from "../parts/spark.tsx";
import "../styles/overview.css";

const TOTALS: readonly (State & keyof States)[] = [
  "critical",
  "warning",
  "unknown",
  "expired",
  "other",
  "ok",
];

/** The query that a total stands for. */
const QUERIES: Readonly<Record<keyof States, string>> = {
  critical: 'state = "critical"',
  warning: 'state = "warning"',
  unknown: 'state = "unknown"',
  expired: 'state = "expired"',
  ok: 'state = "ok"',
  other:
    'not (state = "ok" or state = "warning" or state = "critical" or state = "unknown" or state = "expired")',
};

function Totals() {
  const now = overview.value;
  return (
    <ul class="wall-totals" aria-label="Streams by state">
      {TOTALS.map((state) => {
        const count = now?.states[state] ?? 0;
        return (
          <li key={state}>
            <a
              class={`wall-total ${count > 0 ? `wall-total-${state}` : "wall-total-zero"}`}
              href={hrefOf("grid", { q: QUERIES[state], sort: "worst" })}
              title={`Show them: ${QUERIES[state]}`}
            >
              <b>{now === null ? "–" : count < 10_000 ? String(count) : compact(count)}</b>
              <span>
                <Glyph state={state} />
                {state}
              </span>
            </a>
          </li>
        );
      })}
    </ul>
  );
}

/** Banners that are shown; there is room for no more on a wall. */
const MOST_BANNERS = 3;

function Banners() {
  const all = overview.value?.banners ?? [];
  if (all.length === 0) return null;
  return (
    <ul class="wall-banners" aria-label="Trouble of the node">
      {all.slice(0, MOST_BANNERS).map(({ level, text }, n) => (
        <li key={n} class={`wall-banner wall-banner-${level}`}>
          <Glyph state={level} />
          <span>{clean(text)}</span>
          {n === MOST_BANNERS - 1 && all.length > MOST_BANNERS && <em>{all.length - MOST_BANNERS} more</em>}
        </li>
      ))}
    </ul>
  );
}

function Rate() {
  const now = overview.value;
  return (
    <section class="panel wall-rate" aria-label="Events per second">
      <div class="wall-figure">
        <b>{now === null ? "–" : rate(now.events_per_second)}</b>
        <span>events/s</span>
      </div>
      <Spark samples={samples} />
      <dl class="wall-node">
        {now !== null &&
          (
            [
              ["streams", grouped(now.index_size)],
              ["events", compact(now.events_total)],
              ["core", percent(now.process.cpu)],
              ["memory", now.process.memory === null ? "–" : bytes(now.process.memory)],
              ["up", span(now.uptime_s)],
              ["version", clean(now.version)],
            ] as const
          ).map(([name, value]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd class={name === "up" ? "up" : ""} title={name === "up" ? `${now.uptime_s} s` : undefined}>
                {value}
              </dd>
            </div>
          ))}
      </dl>
    </section>
  );
}

function sinceOf(alert: Alert): string {
  return span((serverNow() - Date.parse(alert.since)) / 1000);
}

/** What an alert is about. */
function About({ alert }: { alert: Alert }) {
  return (
    <>
      <span class="wall-alert-what">
        <bdi>{shown(alert.service)}</bdi>
      </span>
      <span class="wall-alert-where">
        <bdi>{shown(alert.host)}</bdi>
      </span>
    </>
  );
}

/** The alerts that nobody has taken, the oldest first. */
const firing = () =>
  (alerts.value?.alerts ?? [])
    .filter(({ status }) => status === "firing")
    .sort((a, b) => a.since.localeCompare(b.since));

const oldestFiring = () => overview.value?.alerts?.oldest ?? firing()[0] ?? null;

/** The open alerts: the oldest that nobody has taken, large, and as many more as there is room for. */
function Alerts() {
  void tick.value;
  const list = alerts.value;
  const oldest = oldestFiring();
  const others = firing().filter(({ id }) => id !== oldest?.id);
  const total = list?.firing ?? overview.value?.alerts?.firing ?? 0;
  const taken = list === null ? 0 : list.acknowledged + list.silenced;
  const body = useRef<HTMLUListElement>(null);
  const [room, setRoom] = useState(1);
  useEffect(() => {
    const box = body.current;
    if (box === null) return;
    const watch = new ResizeObserver(() => {
      const line = (box.firstElementChild as HTMLElement | null)?.offsetHeight ?? 40;
      setRoom(Math.max(1, Math.floor(box.clientHeight / line)));
    });
    watch.observe(box);
    return () => watch.disconnect();
  }, [oldest === null, others.length > 0]);
  const critical = overview.value?.states.critical ?? 0;
  if (oldest === null)
    return (
      <section
        class={`panel wall-alerts wall-alerts-none ${critical > 0 ? "wall-alerts-quiet" : ""}`}
        aria-label="Alerts"
      >
        <Glyph state={critical > 0 ? "none" : "ok"} />
        <p>No open alert</p>
        {critical > 0 && (
          <p class="quiet">
            <a href={hrefOf("grid", { q: QUERIES.critical, sort: "worst" })}>
              {compact(critical)} critical {critical === 1 ? "stream" : "streams"}
            </a>
          </p>
        )}
        {taken > 0 && <p class="quiet">{taken} acknowledged or silenced</p>}
      </section>
    );
  const state = stateOf(oldest);
  return (
    <section class="panel wall-alerts" aria-label="Alerts">
      <a
        class={`wall-oldest wall-oldest-${state}`}
        href={hrefOf("alerts", { alert: oldest.id })}
        title="The oldest alert that nobody has acknowledged"
      >
        <Glyph state={state} />
        <span class="wall-oldest-text">
          <About alert={oldest} />
        </span>
        <span class="wall-oldest-age">
          <b>{sinceOf(oldest)}</b>
          <span>oldest of {compact(total)} unacknowledged</span>
        </span>
      </a>
      <ul class="wall-others" ref={body} aria-label="Other open alerts, oldest first">
        {others.slice(0, room).map((alert) => (
          <li key={alert.id}>
            <a href={hrefOf("alerts", { alert: alert.id })}>
              <Glyph state={stateOf(alert)} />
              <About alert={alert} />
              <time>{sinceOf(alert)}</time>
            </a>
          </li>
        ))}
      </ul>
    </section>
  );
}

function Side({ title, list }: { title: string; list: Health[] }) {
  // Ends that nothing has come through are named in one line: they say little, and there may be many.
  const idle = list.filter(({ state }) => state === "none");
  const bad = list.filter(({ state }) => state === "critical" || state === "warning").length;
  return (
    <section class="panel wall-side" aria-label={title}>
      <h2>
        {title}
        <span class="quiet">
          {list.length}
          {bad > 0 && `, ${bad} in trouble`}
        </span>
      </h2>
      <ul>
        {worstFirst(list.filter(({ state }) => state !== "none")).map(
          ({ name, state, word, per_second, note }) => (
            <li key={name} class={`wall-end wall-end-${state}`}>
              <Glyph state={state} />
              <span class="wall-end-name">
                <bdi>{clean(name)}</bdi>
              </span>
              <span class="wall-end-note">{note === "" ? word : note}</span>
              <b>
                {per_second}
                <small>/s</small>
              </b>
            </li>
          ),
        )}
        {idle.length > 0 && (
          <li class="wall-end wall-end-idle">
            <Glyph state="none" />
            <span class="wall-end-name">nothing yet: {idle.map(({ name }) => clean(name)).join(", ")}</span>
          </li>
        )}
      </ul>
    </section>
  );
}

const losses = new Losses();

export function Overview() {
  useKeys("Overview", [
    {
      keys: "Enter",
      does: "the oldest alert",
      act: () => go("alerts", { alert: oldestFiring()?.id ?? null }),
    },
  ]);
  const now = overview.value;
  if (now === null || (now.index_size === 0 && now.events_total === 0)) {
    // Without streams of its own this view is settled once it has an overview.
    if (now !== null && link.value.state === "live") settled.value = true;
    return (
      <div class="panel wall-empty">
        <Empty />
      </div>
    );
  }
  return (
    <div class="wall">
      <Banners />
      <Totals />
      <Rate />
      <Alerts />
      <Side title="Inputs" list={now.inputs.map((input) => ofInput(input, losses, Date.now()))} />
      <Side title="Outputs" list={now.outputs.map((output) => ofOutput(output, losses, Date.now()))} />
    </div>
  );
}
