// All rules that run here, with what each costs: in trouble first.

import { useEffect, useState } from "preact/hooks";
import { alter, param } from "../address.ts";
import { useGet } from "../api.ts";
import type { Rule, Rules } from "../contract.ts";
import { bytes, compact, grouped, nanoseconds, percent, rate } from "../logic/format.ts";
import { clean } from "../logic/names.ts";
import { Glyph } from "../parts/glyph.tsx";
import { learn, outline } from "./courses.ts";
import { FileButton } from "./drop.tsx";
import { LOOK, ORDERS, ordered, type RuleOrder } from "./look.ts";

/** Rules that are listed at most; beyond that one looks for a name. */
const MOST = 200;

const EVERY = 1_000;

export const chosen = param("rule", "");
const order = param<RuleOrder>("sort", "", ORDERS);
const find = param("find", "");

/** The names in the order in which they stand, for the keys. */
let listed: readonly string[] = [];

/** Moves the choice down or up the list. */
export function step(by: 1 | -1): void {
  const at = listed.indexOf(chosen.value);
  const next = listed[at < 0 ? (by > 0 ? 0 : listed.length - 1) : at + by];
  if (next === undefined) return;
  chosen.set(next);
  document.getElementById(`rule-${listed.indexOf(next)}`)?.scrollIntoView({ block: "nearest" });
}

interface Column {
  head: string;
  title?: string;
  order?: RuleOrder;
  of: (rule: Rule) => string;
  bad?: (rule: Rule) => boolean;
  /** Left out first when there is little room: 1, then 2. */
  rank?: number;
}

const COLUMNS: readonly Column[] = [
  { head: "events/s", order: "rate", of: (rule) => rate(rule.events_per_second) },
  {
    head: "per event",
    order: "cost",
    title: "Time that one event takes",
    of: (rule) => nanoseconds(rule.ns_per_event),
  },
  { head: "core", order: "cpu", title: "Share of one core", of: (rule) => percent(rule.cpu), rank: 1 },
  { head: "keys", order: "keys", title: "Keys with state", of: (rule) => compact(rule.keys), rank: 2 },
  { head: "memory", order: "memory", of: (rule) => bytes(rule.memory), rank: 1 },
  {
    head: "said",
    order: "said",
    title: "Events handed to outputs, and put back into the stream",
    of: (rule) => compact(rule.forwarded + rule.emitted),
    rank: 2,
  },
  {
    head: "faults",
    order: "faults",
    of: (rule) => compact(rule.faults),
    bad: (rule) => rule.faults > 0,
    rank: 2,
  },
];

function Row({ rule, n, open }: { rule: Rule; n: number; open: boolean }) {
  const look = LOOK[rule.status] ?? "unknown";
  const course = outline(rule.name, 84, 20);
  const trial = (rule as { trial?: { percent: number; version: string } | null }).trial;
  return (
    <tr
      id={`rule-${n}`}
      class={`rule rule-${look} ${open ? "rule-open" : ""}`}
      onClick={() => chosen.set(open ? "" : rule.name)}
    >
      <th scope="row">
        <button
          type="button"
          aria-pressed={open}
          onClick={(event) => {
            event.stopPropagation();
            chosen.set(open ? "" : rule.name);
          }}
        >
          <Glyph state={look} />
          <span class="rule-name">
            <bdi>{clean(rule.name)}</bdi>
            <small>
              <span class={rule.status === "running" ? "hidden" : `ink-${look}`}>
                {clean(rule.status)} ·{" "}
              </span>
              {clean(rule.version)} · generation {rule.generation}
              {trial !== null && trial !== undefined && (
                <em>
                  {" "}
                  · {trial.percent > 0 ? `${percent(trial.percent / 100)} on` : "shadow of"}{" "}
                  {clean(trial.version)}
                </em>
              )}
            </small>
          </span>
        </button>
      </th>
      <td class="course-cell" aria-hidden="true">
        <svg viewBox="0 0 84 20" preserveAspectRatio="none" aria-hidden="true">
          <path class="area" d={course.area} />
          <path d={course.line} />
        </svg>
      </td>
      {COLUMNS.map(({ head, of, bad, rank = 0 }) => (
        <td key={head} class={`number rank-${rank} ${bad?.(rule) ? "ink-critical" : ""}`}>
          {of(rule)}
        </td>
      ))}
    </tr>
  );
}

function Head() {
  const now = order.value;
  return (
    <thead>
      <tr>
        <th scope="col" aria-sort={now === "" ? "ascending" : "none"}>
          <button type="button" onClick={() => order.set("")}>
            rule
          </button>
        </th>
        <th scope="col" class="course-cell">
          <span class="hidden">events per second over the last minute</span>
        </th>
        {COLUMNS.map(({ head, title, order: by = "", rank = 0 }) => (
          <th
            key={head}
            scope="col"
            class={`number rank-${rank}`}
            title={title}
            aria-sort={now === by ? "descending" : "none"}
          >
            <button type="button" onClick={() => order.set(now === by ? "" : by)}>
              {head}
            </button>
          </th>
        ))}
      </tr>
    </thead>
  );
}

export const FIND = "find-rule";

export function List() {
  const wanted = find.value.trim();
  const { data, error } = useGet<Rules>(
    "rules",
    { sort: "activity", limit: MOST, find: wanted === "" ? null : wanted },
    EVERY,
  );
  const [kept, keep] = useState<Rules | null>(null);
  useEffect(() => {
    if (data === null) return;
    learn(data.rules);
    keep(data);
  }, [data]);
  // While other names are looked for, what was found stays.
  const now = data ?? kept;
  const rows = ordered(now?.rules ?? [], order.value);
  listed = rows.map(({ name }) => name);
  return (
    <section class="panel list" aria-labelledby="rules-title">
      <div class="panel-head">
        <h2 id="rules-title">Rules</h2>
        <span class="counts">
          {now !== null && `${grouped(now.total)} deployed`}
          {now !== null && now.paused > 0 && `, ${grouped(now.paused)} paused`}
          {now !== null && now.quarantined > 0 && <em>, {grouped(now.quarantined)} in quarantine</em>}
          {now !== null && wanted !== "" && `, ${grouped(now.found)} found`}
          {now !== null && rows.length < now.found && `, the busiest ${grouped(rows.length)} listed`}
          {error !== null && <em>, {clean(error.message)}</em>}
        </span>
        <span class="head-end">
          <input
            id={FIND}
            class="find"
            type="search"
            placeholder="find a rule"
            aria-label="Part of a rule's name"
            value={find.value}
            maxLength={100}
            spellcheck={false}
            onInput={(event) => find.set(event.currentTarget.value)}
          />
          <FileButton label="Deploy…" />
        </span>
      </div>
      {now === null ? (
        <p class="quiet pad">{error === null ? "Waiting for the list of rules…" : clean(error.message)}</p>
      ) : now.total === 0 ? (
        <Nothing />
      ) : rows.length === 0 ? (
        <p class="quiet pad">No rule has that in its name.</p>
      ) : (
        <div class="table-box" tabIndex={0} role="region" aria-label="Table of rules">
          <table class="rules-table">
            <Head />
            <tbody>
              {rows.map((rule, n) => (
                <Row key={rule.name} rule={rule} n={n} open={rule.name === chosen.value} />
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}

function Nothing() {
  return (
    <div class="nothing">
      <h3>No rule is deployed</h3>
      <p>
        Drop a <code>.wasm</code> module anywhere on this page, or choose one. Nothing of it runs before you
        say so.
      </p>
      <FileButton label="Choose a module…" />
      <p>
        From a terminal: <code>tidegate deploy rule.wasm --to board=live</code>
      </p>
    </div>
  );
}

/** Closes what is open beside the list. */
export function closeRule(): void {
  alter({ rule: null, tab: null, key: null });
}
