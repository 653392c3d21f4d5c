// One rule: what it is, what it costs, what is tried beside it, and what can be done with it.

import type { ComponentChildren } from "preact";
import { hrefOf, param } from "../address.ts";
import { useGet } from "../api.ts";
import type { Fault } from "../contract.ts";
import { bytes, compact, grouped, nanoseconds, percent, rate, span, timeOfDay } from "../logic/format.ts";
import { clean, cleanText } from "../logic/names.ts";
import { overview, serverNow, tick } from "../page.ts";
import { Glyph } from "../parts/glyph.tsx";
import { notify } from "../parts/notice.tsx";
import { adjust, pathOf, pause, remove, rollBack } from "./change.ts";
import type { History, RuleInFull } from "./contract.ts";
import { outline } from "./courses.ts";
import { closeRule } from "./list.tsx";
import { Line, Log } from "./log.tsx";
import { LOOK } from "./look.ts";
import { Past } from "./past.tsx";
import { Remembered } from "./remembered.tsx";
import { TrialCard } from "./trial.tsx";

const TABS = ["", "log", "state", "history"] as const;
type Tab = (typeof TABS)[number];
export const tab = param<Tab>("tab", "", TABS);

const NAMES: Readonly<Record<Tab, string>> = {
  "": "overview",
  log: "log",
  state: "state",
  history: "history",
};

/** Turns to the next part, or the one before. */
export function turn(by: 1 | -1): void {
  tab.set(TABS[(TABS.indexOf(tab.value) + by + TABS.length) % TABS.length] ?? "");
}

/** Says what went wrong where nothing else can. */
const told = (what: Promise<void>): void => {
  what.catch((error: Error) => notify(error.message, true));
};

export function One({ name }: { name: string }) {
  const { data: rule, error, again } = useGet<RuleInFull>(pathOf(name), {}, 1_000);
  const { data: past, again: lookBack } = useGet<History>(`${pathOf(name)}/history`, {}, 5_000);
  const fresh = () => {
    again();
    lookBack();
  };
  const now = tab.value;
  return (
    <section class="panel side" aria-labelledby="rule-title">
      <div class="panel-head">
        <h2 id="rule-title">
          {rule !== null && <Glyph state={LOOK[rule.status] ?? "unknown"} />} <bdi>{clean(name)}</bdi>
        </h2>
        {rule !== null && (
          <span class="counts">
            {clean(rule.version)}, generation {rule.generation}
          </span>
        )}
        <button type="button" class="icon" aria-label="Close this rule" onClick={closeRule}>
          ×
        </button>
      </div>
      {rule === null ? (
        <p class="quiet pad">{error === null ? "Asking for the rule…" : clean(error.message)}</p>
      ) : (
        <>
          <Tools rule={rule} past={past} fresh={fresh} />
          <div class="tabs" role="tablist" aria-label="About this rule">
            {TABS.map((each) => (
              <button
                key={each}
                type="button"
                role="tab"
                aria-selected={now === each}
                onClick={() => tab.set(each)}
              >
                {NAMES[each]}
              </button>
            ))}
          </div>
          <div class="side-body" tabIndex={0} role="tabpanel" aria-label={NAMES[now]}>
            {error !== null && <p class="complaint">{clean(error.message)}</p>}
            {now === "" && <Overview rule={rule} past={past} fresh={fresh} />}
            {now === "log" && <Log name={name} />}
            {now === "state" && <Remembered rule={rule} />}
            {now === "history" && <Past rule={rule} history={past} fresh={fresh} />}
          </div>
        </>
      )}
    </section>
  );
}

function Tools({ rule, past, fresh }: { rule: RuleInFull; past: History | null; fresh: () => void }) {
  const paused = rule.status === "paused";
  const earlier = past?.history ?? [];
  const outputs = ["live", ...(overview.value?.outputs ?? []).map((output) => output.name)];
  return (
    <div class="side-tools">
      <button type="button" class="tool" onClick={() => told(pause(rule, !paused).then(fresh))}>
        {paused ? "go on" : "pause"}
      </button>
      <button type="button" class="tool" onClick={() => adjust(rule, outputs, fresh)}>
        settings…
      </button>
      <button
        type="button"
        class="tool"
        disabled={earlier.length === 0}
        title={earlier.length === 0 ? "There is no earlier deployment" : ""}
        onClick={() => rollBack(rule, earlier, null, fresh)}
      >
        roll back…
      </button>
      <a class="tool" href={hrefOf("backtest", { rule: rule.name })}>
        backtest
      </a>
      <button type="button" class="tool tool-danger" onClick={() => remove(rule, closeRule)}>
        remove…
      </button>
    </div>
  );
}

function Figure({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

const pairs = (of: Record<string, string> | undefined, arrow: string): string[] =>
  Object.entries(of ?? {}).map(([key, value]) => `${clean(key)} ${arrow} ${clean(String(value))}`);

function Overview({ rule, past, fresh }: { rule: RuleInFull; past: History | null; fresh: () => void }) {
  void tick.value;
  const now = serverNow();
  const until = rule.quarantined_until === null ? Number.NaN : Date.parse(rule.quarantined_until);
  const since = Date.parse(rule.since);
  const course = outline(rule.name, 240, 40);
  const rows: [string, string[]][] = [
    ["events", [cleanText(rule.query)]],
    ["per", [clean(rule.per)]],
    ["set", pairs(rule.set as Record<string, string>, "=")],
    ["outputs", pairs(rule.outputs, "→")],
    ["module", [clean(rule.module)]],
  ];
  return (
    <>
      {!Number.isNaN(until) && (
        <p class="banner">
          <Glyph state="critical" /> Left out until {timeOfDay(until, true)} UTC, for another{" "}
          {span((until - now) / 1000)}.
        </p>
      )}
      {rule.trial !== null && rule.trial !== undefined && (
        <TrialCard rule={rule} trial={rule.trial} differences={past?.differences ?? []} fresh={fresh} />
      )}
      <div class="rate">
        <b>{rate(rule.events_per_second)}</b>
        <span>events/s</span>
        <svg viewBox="0 0 240 40" preserveAspectRatio="none" aria-hidden="true">
          <path class="area" d={course.area} />
          <path d={course.line} />
        </svg>
      </div>
      <dl class="figures">
        <Figure name="per event">{nanoseconds(rule.ns_per_event)}</Figure>
        <Figure name="of a core">{percent(rule.cpu)}</Figure>
        <Figure name="keys">{grouped(rule.keys)}</Figure>
        <Figure name="memory">{bytes(rule.memory)}</Figure>
        <Figure name="seen">{compact(rule.events)}</Figure>
        <Figure name="emitted">{compact(rule.emitted)}</Figure>
        <Figure name="forwarded">{compact(rule.forwarded)}</Figure>
        <Figure name="faults">
          <span class={rule.faults > 0 ? "ink-critical" : ""}>{compact(rule.faults)}</span>
        </Figure>
      </dl>
      {rule.last_fault !== null && <LastFault fault={rule.last_fault} now={now} />}
      <dl class="fields code-fields">
        {rows
          .filter(([, values]) => values.length > 0)
          .map(([name, values]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>
                {values.map((value) => (
                  <bdi key={value}>{value}</bdi>
                ))}
              </dd>
            </div>
          ))}
      </dl>
      <p class="quiet">
        In force {Number.isNaN(since) ? "" : `for ${span((now - since) / 1000)}`}
        {rule.by !== null && rule.by !== undefined && (
          <>
            , deployed by <bdi>{clean(rule.by)}</bdi>
          </>
        )}
        .
      </p>
    </>
  );
}

function LastFault({ fault, now }: { fault: Fault; now: number }) {
  const { at, kind, message, during, event } = fault;
  return (
    <div>
      <h3>
        Last fault: {clean(during.replace(/^in /u, ""))}, {span((now - Date.parse(at)) / 1000)} ago
      </h3>
      <ol class="log">
        <Line line={{ at, level: kind, message, position: null, event }} />
      </ol>
    </div>
  );
}
