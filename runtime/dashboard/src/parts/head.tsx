// The top of the page: what it is, whether it lives, and the numbers that are read from across the room.

import type { Input, Output, States } from "../contract.ts";
import { compact, grouped, rate, span, timeOfDay } from "../logic/format.ts";
import { clean } from "../logic/names.ts";
import type { State } from "../logic/state.ts";
import { helping, link, look, overview, samples, serverNow, tick, view } from "../page.ts";
import { theme, turnTheme } from "../theme.ts";
import { Glyph } from "./glyph.tsx";
import { QueryBar } from "./query.tsx";
import { Spark } from "./spark.tsx";

function Mark() {
  return (
    <svg class="mark" viewBox="0 0 32 32" aria-hidden="true">
      <path class="mark-gate" d="M8 5v14M16 5v14M24 5v14" />
      <path class="mark-tide" d="M3 25q3.250-3.400 6.500 0t6.500 0 6.500 0 6.500 0" />
    </svg>
  );
}

function LinkState() {
  const now = tick.value;
  const at = link.value;
  if (at.state === "live")
    return (
      <span class="link link-live" role="status">
        <i aria-hidden="true" />
        live
      </span>
    );
  if (at.state === "connecting")
    return (
      <span class="link" role="status">
        <i aria-hidden="true" />
        connecting
      </span>
    );
  const wait = Math.max(0, Math.ceil((at.next - now) / 1000));
  return (
    <span class="link link-lost" title={at.reason}>
      <i aria-hidden="true" />
      <span role="status">reconnecting</span>
      {wait > 0 && <span class="count"> {wait} s</span>}
    </span>
  );
}

function Clock() {
  void tick.value;
  const at = serverNow();
  return (
    <time class="clock" title={`${new Date(at).toISOString().slice(0, 10)}, the server's clock in UTC`}>
      {timeOfDay(at, true)}
      <small>UTC</small>
    </time>
  );
}

const TOTALS: readonly (State & keyof States)[] = [
  "critical",
  "warning",
  "unknown",
  "other",
  "expired",
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
  const at = view.value.query;
  return (
    <ul class="totals" aria-label="Streams by state">
      {TOTALS.map((state) => {
        const count = now?.states[state] ?? 0;
        const on = at === QUERIES[state];
        return (
          <li key={state}>
            <button
              type="button"
              class={`total ${count > 0 ? `total-${state}` : "total-zero"}`}
              aria-pressed={on}
              title={on ? "Show every stream again" : `Show only: ${QUERIES[state]}`}
              onClick={() => look({ query: on ? "" : QUERIES[state] })}
            >
              <b>{now === null ? "–" : count < 100_000 ? grouped(count) : compact(count)}</b>
              <span>
                <Glyph state={state} />
                {state}
              </span>
            </button>
          </li>
        );
      })}
    </ul>
  );
}

interface Health {
  key: string;
  name: string;
  side: "in" | "out";
  level: "good" | "idle" | "bad" | "warn";
  word: string;
  figure: string;
  lines: [string, string][];
}

function ofInput(input: Input): Health {
  const lost = input.rejected + input.shed;
  return {
    key: `in ${input.name}`,
    name: clean(input.name),
    side: "in",
    level: lost > 0 ? "warn" : input.received > 0 ? "good" : "idle",
    word: lost > 0 ? "has refused events" : input.received > 0 ? "receiving" : "idle",
    figure:
      input.per_second > 0
        ? `${input.per_second < 10 ? rate(input.per_second) : compact(Math.round(input.per_second))}/s`
        : "",
    lines: [
      ["kind", input.kind],
      ["address", input.address],
      ["received", grouped(input.received)],
      ["accepted", grouped(input.accepted)],
      ["rejected", grouped(input.rejected)],
      ["shed", grouped(input.shed)],
      ["per second", rate(input.per_second)],
    ],
  };
}

function ofOutput(output: Output): Health {
  const level =
    output.status === "ok"
      ? "good"
      : output.status === "failing"
        ? "bad"
        : output.status === "idle"
          ? "idle"
          : "warn";
  return {
    key: `out ${output.name}`,
    name: clean(output.name),
    side: "out",
    level: level === "good" && output.dropped > 0 ? "warn" : level,
    word: level === "good" && output.dropped > 0 ? "has dropped events" : output.status,
    figure: output.queued > 0 ? `${compact(output.queued)} queued` : "",
    lines: [
      ["kind", output.kind],
      ["status", output.status],
      ["queued", grouped(output.queued)],
      ["delivered", grouped(output.delivered)],
      ["dropped", grouped(output.dropped)],
      ["failed", grouped(output.failed)],
      ...(output.last_error === null ? [] : [["last error", output.last_error] as [string, string]]),
    ],
  };
}

const BADNESS = { bad: 0, warn: 1, good: 2, idle: 3 };

/** More chips than this are not shown; those in trouble come first. */
const MOST_CHIPS = 24;

function Chips() {
  const now = overview.value;
  if (now === null) return <div class="chips" />;
  const all = [...now.inputs.map(ofInput), ...now.outputs.map(ofOutput)];
  all.sort((a, b) => a.side.localeCompare(b.side) || BADNESS[a.level] - BADNESS[b.level]);
  const side = (which: "in" | "out", label: string) => {
    const some = all.filter((health) => health.side === which);
    return (
      <div class="chip-row">
        <span class="chip-label">{label}</span>
        <ul aria-label={label}>
          {some.slice(0, MOST_CHIPS).map((health, n) => {
            const id = `tip-${which}-${n}`;
            return (
              <li key={health.key}>
                <button type="button" class={`chip chip-${health.level}`} aria-describedby={id}>
                  <i aria-hidden="true" />
                  <span class="chip-name">{health.name}</span>
                  {health.figure !== "" && <em>{health.figure}</em>}
                  <span class="hidden">{health.word}</span>
                </button>
                <div class="tip" role="tooltip" id={id}>
                  <strong>
                    <bdi>{health.name}</bdi> <span class={`word word-${health.level}`}>{health.word}</span>
                  </strong>
                  <dl>
                    {health.lines.map(([key, value]) => (
                      <div key={key}>
                        <dt>{key}</dt>
                        <dd>{clean(value, 400)}</dd>
                      </div>
                    ))}
                  </dl>
                </div>
              </li>
            );
          })}
          {some.length > MOST_CHIPS && <li class="chip-more">{some.length - MOST_CHIPS} more</li>}
        </ul>
      </div>
    );
  };
  return (
    <div class="chips">
      {side("in", "inputs")}
      {side("out", "outputs")}
    </div>
  );
}

function Flow() {
  const now = overview.value;
  void tick.value;
  return (
    <div class="flow">
      <div class="figure">
        <b>{now === null ? "–" : rate(now.events_per_second)}</b>
        <span>events/s</span>
      </div>
      <Spark samples={samples} />
      <dl class="small-figures">
        <div>
          <dt>streams</dt>
          <dd>{now === null ? "–" : grouped(now.index_size)}</dd>
        </div>
        <div>
          <dt>events</dt>
          <dd>{now === null ? "–" : compact(now.events_total)}</dd>
        </div>
        <div>
          <dt>up</dt>
          <dd class="up" title={now === null ? "" : `${now.uptime_s} s`}>
            {now === null ? "–" : span(now.uptime_s)}
          </dd>
        </div>
      </dl>
    </div>
  );
}

export function Head() {
  const version = overview.value?.version;
  return (
    <header>
      <div class="bar">
        <h1>
          <Mark />
          Tidegate
          {version !== undefined && <small>{clean(version)}</small>}
        </h1>
        <QueryBar />
        <div class="bar-end">
          <LinkState />
          <Clock />
          <button
            type="button"
            class="icon"
            onClick={turnTheme}
            aria-label={`Turn to ${theme.value === "light" ? "dark" : "light"}`}
            title="Light or dark (d)"
          >
            <svg viewBox="0 0 16 16" aria-hidden="true">
              <path
                d="M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1Zm0 1.800v10.400A5.200 5.200 0 0 1 8 2.800Z"
                fill-rule="evenodd"
              />
            </svg>
          </button>
          <button
            type="button"
            class="icon"
            onClick={() => {
              helping.value = true;
            }}
            aria-label="Keys and help"
            title="Keys and help (?)"
          >
            ?
          </button>
        </div>
      </div>
      <div class="numbers">
        <Flow />
        <Totals />
        <Chips />
      </div>
    </header>
  );
}
