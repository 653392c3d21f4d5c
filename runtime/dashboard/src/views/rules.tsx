// The rules that run here, what each costs, and why one does not run.

import { signal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { Failed, get } from "../api.ts";
import type { Fault, Rule, Rules } from "../contract.ts";
import { bytes, compact, grouped, nanoseconds, percent, rate, span, timeOfDay } from "../logic/format.ts";
import { clean, cleanText } from "../logic/names.ts";
import type { State } from "../logic/state.ts";
import { rules as busiest, serverNow, tick } from "../page.ts";
import { Glyph } from "../parts/glyph.tsx";
import "../styles/rules.css";

const LOOK: Readonly<Record<Rule["status"], State>> = {
  running: "ok",
  paused: "other",
  restarting: "warning",
  quarantined: "critical",
};

function text(value: unknown): string {
  return cleanText(typeof value === "string" ? value : (JSON.stringify(value, null, 1) ?? ""));
}

function LastFault({ fault, now }: { fault: Fault; now: number }) {
  const at = Date.parse(fault.at);
  return (
    <div class="fault">
      <h4>
        Last fault: {clean(fault.kind)} in {clean(fault.during)}
        {!Number.isNaN(at) && (
          <small>
            {" "}
            at {timeOfDay(at, true)} UTC, {span((now - at) / 1000)} ago
          </small>
        )}
      </h4>
      <pre tabIndex={0}>{cleanText(fault.message)}</pre>
      {fault.event !== null && fault.event !== undefined && fault.event !== "" && (
        <>
          <p class="quiet">on this event</p>
          <pre tabIndex={0}>{text(fault.event)}</pre>
        </>
      )}
    </div>
  );
}

function More({ rule }: { rule: Rule }) {
  void tick.value;
  const now = serverNow();
  const pairs = (of: Record<string, unknown>) =>
    Object.entries(of)
      .map(
        ([key, value]) => `${clean(key)}=${clean(typeof value === "string" ? value : JSON.stringify(value))}`,
      )
      .join("  ");
  const rows: [string, string][] = [
    ["query", cleanText(rule.query)],
    ["per", clean(rule.per)],
    ["set", pairs(rule.set ?? {}) || "nothing"],
    ["outputs", pairs(rule.outputs ?? {}) || "none"],
    ["module", clean(rule.module)],
    ["seen", `${grouped(rule.events)} events`],
    ["said", `${grouped(rule.emitted)} emitted, ${grouped(rule.forwarded)} forwarded`],
  ];
  return (
    <div class="more">
      {rule.quarantined_until !== null && (
        <p class="banner">
          <Glyph state="critical" /> Left out until {timeOfDay(Date.parse(rule.quarantined_until), true)} UTC,
          for another {span((Date.parse(rule.quarantined_until) - now) / 1000)}.
        </p>
      )}
      <dl class="fields">
        {rows.map(([key, value]) => (
          <div key={key}>
            <dt>{key}</dt>
            <dd>
              <bdi>{value}</bdi>
            </dd>
          </div>
        ))}
      </dl>
      {rule.last_fault !== null && <LastFault fault={rule.last_fault} now={now} />}
    </div>
  );
}

function Row({ rule, n }: { rule: Rule; n: number }) {
  const [open, setOpen] = useState(false);
  const id = `rule-${n}`;
  return (
    <>
      <tr class={`rule ${open ? "rule-open" : ""}`} onClick={() => setOpen(!open)}>
        <th scope="row">
          <button
            type="button"
            aria-expanded={open}
            aria-controls={open ? id : undefined}
            onClick={(event) => {
              event.stopPropagation();
              setOpen(!open);
            }}
          >
            <i aria-hidden="true" class="turner" />
            <bdi>{clean(rule.name)}</bdi>
          </button>
        </th>
        <td>
          <span class={`status ink-${LOOK[rule.status] ?? "unknown"}`}>
            <Glyph state={LOOK[rule.status] ?? "unknown"} />
            {clean(rule.status)}
          </span>
        </td>
        <td class="quiet">
          {clean(rule.version)}
          <small> · {rule.generation}</small>
        </td>
        <td class="number">{rate(rule.events_per_second)}</td>
        <td class="number">{nanoseconds(rule.ns_per_event)}</td>
        <td class="number">{percent(rule.cpu)}</td>
        <td class="number">{compact(rule.keys)}</td>
        <td class="number">{bytes(rule.memory)}</td>
        <td class="number">{compact(rule.forwarded)}</td>
        <td class={`number ${rule.faults > 0 ? "ink-critical" : "quiet"}`}>{compact(rule.faults)}</td>
      </tr>
      {open && (
        <tr class="more-row" id={id}>
          <td colSpan={10}>
            <More rule={rule} />
          </td>
        </tr>
      )}
    </>
  );
}

/** Rules that a search lists at most. */
const MOST_FOUND = 100;

/** Part of the names of the rules that are listed; empty lists the busiest. */
const sought = signal("");
const found = signal<Rules | null>(null);

/** Asks for the rules that are sought, once a second; the last question wins. */
function useSearch(): void {
  const text = sought.value;
  void tick.value;
  useEffect(() => {
    if (text === "") {
      found.value = null;
      return;
    }
    const stop = new AbortController();
    get<Rules>("rules", {
      query: { sort: "activity", limit: MOST_FOUND, find: text },
      signal: stop.signal,
    }).then(
      (answer) => {
        found.value = answer;
      },
      (error: unknown) => {
        // The stream notices when the server is gone, and the next second asks again.
        if (!(error instanceof Failed) && !stop.signal.aborted) throw error;
      },
    );
    return () => stop.abort();
  }, [text, tick.value]);
}

/** With more rules than this there is a field to look for one. */
const FEW = 10;

function Search() {
  return (
    <input
      class="find"
      type="search"
      placeholder="find a rule"
      aria-label="Part of a rule's name"
      value={sought.value}
      maxLength={100}
      spellcheck={false}
      onInput={(event) => {
        sought.value = event.currentTarget.value.trim();
      }}
    />
  );
}

export function RulesView() {
  useSearch();
  const now = found.value ?? busiest.value;
  const listed = now?.rules ?? [];
  const looking = sought.value !== "";
  return (
    <section class="panel rules-panel" aria-labelledby="rules-title">
      <div class="panel-head">
        <h2 id="rules-title">Rules</h2>
        <span class="counts">
          {now !== null && `${grouped(now.total)} deployed`}
          {now !== null && now.paused > 0 && `, ${grouped(now.paused)} paused`}
          {now !== null && now.quarantined > 0 && <em>, {grouped(now.quarantined)} in quarantine</em>}
          {now !== null && looking && `, ${grouped(now.found)} found`}
          {now !== null && listed.length < now.found && `, the busiest ${grouped(listed.length)} listed`}
        </span>
        {now !== null && (looking || now.total > FEW) && <Search />}
      </div>
      {now === null ? (
        <p class="quiet pad">Waiting for the list of rules…</p>
      ) : now.total === 0 ? (
        <p class="quiet pad">
          No rule is deployed. <code>tidegate deploy rule.wasm --to board=live</code> puts one to work,
          without a restart.
        </p>
      ) : listed.length === 0 ? (
        <p class="quiet pad">No rule has that in its name.</p>
      ) : (
        <div class="table-box" tabIndex={0} role="region" aria-label="Table of rules">
          <table>
            <thead>
              <tr>
                <th scope="col">rule</th>
                <th scope="col">status</th>
                <th scope="col">
                  version<small> · gen</small>
                </th>
                <th scope="col" class="number">
                  events/s
                </th>
                <th scope="col" class="number">
                  per event
                </th>
                <th scope="col" class="number" title="Share of one core">
                  core
                </th>
                <th scope="col" class="number">
                  keys
                </th>
                <th scope="col" class="number">
                  memory
                </th>
                <th scope="col" class="number" title="Events handed to outputs">
                  said
                </th>
                <th scope="col" class="number">
                  faults
                </th>
              </tr>
            </thead>
            <tbody>
              {listed.map((rule, n) => (
                <Row key={rule.name} rule={rule} n={n} />
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}
