// Earlier deployments of a rule, how each ended, and how what is tried differs.

import { span, timeOfDay } from "../logic/format.ts";
import { clean, cleanText } from "../logic/names.ts";
import { serverNow } from "../page.ts";
import { rollBack } from "./change.ts";
import type { Past as Deployment, History, RuleInFull } from "./contract.ts";
import { Differences } from "./trial.tsx";

const day = (at: number): string => (Number.isNaN(at) ? "" : new Date(at).toISOString().slice(0, 10));

export function Past(props: { rule: RuleInFull; history: History | null; fresh: () => void }) {
  const { rule, history, fresh } = props;
  if (history === null) return <p class="quiet">Asking for the history…</p>;
  const earlier = history.history.toReversed();
  const since = Date.parse(rule.since);
  return (
    <>
      <ol class="past">
        <li class="past-now">
          <b>
            generation {rule.generation}, version {clean(rule.version)}
          </b>
          <span class="ink-ok">in force</span>
          <span class="quiet">
            since {day(since)} {timeOfDay(since, true)} UTC
            {rule.by !== null && rule.by !== undefined && `, by ${clean(rule.by)}`}
          </span>
        </li>
        {earlier.map((one) => (
          <Earlier
            key={one.generation}
            one={one}
            put={() => rollBack(rule, history.history, one.generation, fresh)}
          />
        ))}
      </ol>
      {earlier.length === 0 && <p class="quiet">There was none before it.</p>}
      {history.differences.length > 0 && (
        <>
          <h3>What only the candidate, or only the rule, asked for</h3>
          <Differences differences={history.differences} />
        </>
      )}
    </>
  );
}

function Earlier({ one, put }: { one: Deployment; put: () => void }) {
  const [since, ended] = [Date.parse(one.since), Date.parse(one.ended)];
  return (
    <li>
      <b>
        generation {one.generation}, version {clean(one.version)}
      </b>
      <span class={one.how === "replaced" ? "quiet" : "ink-warning"}>{clean(one.how)}</span>
      <button type="button" class="tool" onClick={put}>
        put back…
      </button>
      <span class="quiet">
        {day(since)} {timeOfDay(since, true)} UTC, for {span((ended - since) / 1000)}, ended{" "}
        {span((serverNow() - ended) / 1000)} ago
        {one.by !== null && `, by ${clean(one.by)}`}
      </span>
      {one.reason !== null && one.reason !== "" && <q>{cleanText(one.reason)}</q>}
      <code>{clean(one.query)}</code>
    </li>
  );
}
