// One event explained: which rules saw it, why others did not, what each did with it, and what that changed.

import { useState } from "preact/hooks";
import { hrefOf, param } from "../address.ts";
import { useGet } from "../api.ts";
import type { Explained, ExplainedRule } from "../contract.ts";
import { changes } from "../logic/diff.ts";
import { compact, timeOfDay } from "../logic/format.ts";
import { clean, cleanText, shown } from "../logic/names.ts";
import { stateOf } from "../logic/state.ts";
import { openStream, serverNow } from "../page.ts";
import { Fields } from "./event.tsx";
import { Glyph } from "./glyph.tsx";
import "../styles/explain.css";

/** Where the open event stands in the log, `POSITION:ROW`; empty when none is open. */
export const explained = param("event", "");

function Diff({ before, after }: { before: unknown; after: unknown }) {
  const { changes: found, more } = changes(before, after);
  if (found.length === 0) return <p class="quiet">Its state stayed as it was.</p>;
  return (
    <table class="diff">
      <caption class="hidden">What changed in its state</caption>
      <thead>
        <tr>
          <th scope="col">state</th>
          <th scope="col">before</th>
          <th scope="col">after</th>
        </tr>
      </thead>
      <tbody>
        {found.map((change) => (
          <tr key={change.path}>
            <th scope="row">
              <bdi>{change.path === "" ? "all of it" : clean(change.path, 120)}</bdi>
            </th>
            <td class="diff-before">
              <bdi>{change.before === undefined ? "–" : cleanText(change.before.slice(0, 400))}</bdi>
            </td>
            <td class="diff-after">
              <bdi>{change.after === undefined ? "–" : cleanText(change.after.slice(0, 400))}</bdi>
            </td>
          </tr>
        ))}
        {more > 0 && (
          <tr>
            <td colSpan={3}>{more} more changes</td>
          </tr>
        )}
      </tbody>
    </table>
  );
}

const WORDS: Readonly<Record<string, string>> = { emit: "emitted", forward: "forwarded to", log: "logged" };

function Effects({ effects }: { effects: ExplainedRule["effects"] }) {
  if (effects.length === 0) return <p class="quiet">It said nothing.</p>;
  return (
    <ul class="effects">
      {effects.map(({ kind, output, event, level, message }, n) => (
        <li key={n}>
          <span class="effect-kind">
            {WORDS[kind] ?? kind} {output !== null && output !== undefined && <b>{clean(output)}</b>}
            {level !== null && level !== undefined && <b>{clean(level)}</b>}
          </span>
          {event !== null && event !== undefined && (
            <span class={`effect-event ink-${stateOf(event)}`}>
              <Glyph state={stateOf(event)} />
              <bdi>
                {shown(event.service)} on {shown(event.host)}
              </bdi>{" "}
              {clean(event.state ?? "")} {event.metric !== null && compact(event.metric)}
            </span>
          )}
          {message !== null && message !== undefined && <code>{cleanText(message)}</code>}
        </li>
      ))}
    </ul>
  );
}

function Rule({ rule }: { rule: ExplainedRule }) {
  return (
    <li class="explained-rule">
      <h3>
        <Glyph state="ok" />
        <a href={hrefOf("rules", { rule: rule.name })}>
          <bdi>{clean(rule.name)}</bdi>
        </a>
        <small>
          {clean(rule.version)} · generation {rule.generation}
          {rule.key !== null && (
            <>
              {" "}
              · key <bdi>{clean(rule.key, 120)}</bdi>
            </>
          )}
        </small>
      </h3>
      {rule.why !== null && <p class="quiet">{clean(rule.why, 400)}</p>}
      <Effects effects={rule.effects} />
      {(rule.before !== null || rule.after !== null) && <Diff before={rule.before} after={rule.after} />}
    </li>
  );
}

function Others({ rules }: { rules: readonly ExplainedRule[] }) {
  const [open, setOpen] = useState(false);
  if (rules.length === 0) return null;
  return (
    <details open={open} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>
        {rules.length} {rules.length === 1 ? "rule" : "rules"} did not want it
      </summary>
      <ul class="unmatched">
        {rules.map((rule) => (
          <li key={`${rule.name} ${rule.generation}`}>
            <b>
              <bdi>{clean(rule.name)}</bdi>
            </b>{" "}
            <span class="quiet">
              {rule.why === null ? <code>{clean(rule.query)}</code> : clean(rule.why, 400)}
            </span>
          </li>
        ))}
      </ul>
    </details>
  );
}

function Body({ told }: { told: Explained }) {
  const { event, rules, index } = told;
  const matched = rules.filter((rule) => rule.matched);
  return (
    <div class="detail-body explain-body">
      <Fields event={event} now={serverNow()} />
      <p class="detail-tools">
        <button type="button" class="tool" onClick={() => openStream(event.host, event.service)}>
          its stream over time
        </button>
      </p>
      {index !== null && (
        <p class="explain-index">
          <span class="quiet">the index held before it</span>{" "}
          {index.before === null ? (
            "nothing"
          ) : (
            <>
              <Glyph state={stateOf(index.before)} /> {clean(index.before.state ?? "none")},{" "}
              {compact(index.before.metric)}
            </>
          )}
        </p>
      )}
      <h3 class="explain-title">
        {matched.length === 0
          ? "No rule wanted it"
          : `${matched.length} ${matched.length === 1 ? "rule" : "rules"} saw it`}
      </h3>
      <ul class="explained-rules">
        {matched.map((rule) => (
          <Rule key={`${rule.name} ${rule.generation}`} rule={rule} />
        ))}
      </ul>
      <Others rules={rules.filter((rule) => !rule.matched)} />
      {told.note !== null && <p class={told.complete ? "quiet" : "ink-warning"}>{clean(told.note, 600)}</p>}
    </div>
  );
}

export function Explain() {
  const [position = "", row = ""] = explained.value.split(":");
  const good = /^\d+$/u.test(position) && /^\d+$/u.test(row);
  const { data, error } = useGet<Explained>(good ? "explain" : null, { position, row });
  return (
    <aside class="panel explain" aria-label="The event explained">
      <div class="panel-head">
        <h2>
          <bdi>{data === null ? "An event" : shown(data.event.service)}</bdi>
        </h2>
        <span class="counts">
          {data === null ? "" : `${timeOfDay(Date.parse(data.at), true)} UTC, `}at {position}:{row}
        </span>
        <button
          type="button"
          class="icon"
          aria-label="Close"
          title="Close (Esc)"
          onClick={() => explained.set("")}
        >
          ×
        </button>
      </div>
      {data !== null ? (
        <Body told={data} />
      ) : (
        <p class="quiet pad">
          {!good
            ? "The address names no event."
            : error !== null
              ? clean(error.message, 400)
              : "Asking what became of it…"}
        </p>
      )}
    </aside>
  );
}
