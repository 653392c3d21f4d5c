// What is tried beside a rule: how far it is, how its wishes differ, and how the trial ends.

import { percent, rate, span } from "../logic/format.ts";
import { clean, shown } from "../logic/names.ts";
import { stateOf } from "../logic/state.ts";
import { serverNow, tick } from "../page.ts";
import { Glyph } from "../parts/glyph.tsx";
import { endTrial } from "./change.ts";
import type { Difference, RuleInFull, Trial } from "./contract.ts";
import { LOOK } from "./look.ts";

/** Differences that are shown beside the figures. */
const SHOWN = 8;

export function TrialCard(props: {
  rule: RuleInFull;
  trial: Trial;
  differences: readonly Difference[];
  fresh: () => void;
}) {
  const { rule, trial, differences, fresh } = props;
  void tick.value;
  const now = serverNow();
  const [since, end] = [Date.parse(trial.since), Date.parse(trial.promoted_at ?? "")];
  const share = Number.isNaN(end) ? null : Math.min(1, Math.max(0, (now - since) / (end - since)));
  const all = trial.same + trial.only_new + trial.only_old;
  const part = (count: number) => (all === 0 ? 0 : (100 * count) / all);
  const agreement = all === 0 ? "nothing was asked for yet" : `${percent(trial.same / all)} the same`;
  return (
    <div class="trial">
      <h3>
        <Glyph state={LOOK[trial.status] ?? "unknown"} />
        {trial.percent > 0 ? `Canary on ${percent(trial.percent / 100)} of the keys` : "Shadow"}: version{" "}
        {clean(trial.version)}, generation {trial.generation}
      </h3>
      <div class="agree" role="img" aria-label={`Of what both asked for: ${agreement}`}>
        <i class="agree-same" style={{ width: `${part(trial.same)}%` }} />
        <i class="agree-new" style={{ width: `${part(trial.only_new)}%` }} />
        <i class="agree-old" style={{ width: `${part(trial.only_old)}%` }} />
      </div>
      <dl class="figures">
        <div>
          <dt>the same</dt>
          <dd>{rate(trial.same)}</dd>
        </div>
        <div>
          <dt title="What only the candidate asked for">only new</dt>
          <dd class="new">{rate(trial.only_new)}</dd>
        </div>
        <div>
          <dt title="What only the rule asked for">only old</dt>
          <dd class="old">{rate(trial.only_old)}</dd>
        </div>
        <div>
          <dt>seen</dt>
          <dd>{rate(trial.events)}</dd>
        </div>
        <div>
          <dt>faults</dt>
          <dd class={trial.faults > 0 ? "ink-critical" : ""}>{rate(trial.faults)}</dd>
        </div>
      </dl>
      {share !== null && (
        <div class="until">
          <progress max={1} value={share} aria-label="Until it is promoted" />
          <span>promoted in {span(Math.max(0, (end - now) / 1000))} if it does well</span>
        </div>
      )}
      {differences.length > 0 && (
        <details>
          <summary>the latest differences</summary>
          <Differences differences={differences.slice(-SHOWN)} />
        </details>
      )}
      <div class="side-tools">
        <button type="button" class="primary small" onClick={() => endTrial(rule, true, fresh)}>
          promote…
        </button>
        <button type="button" class="tool" onClick={() => endTrial(rule, false, fresh)}>
          give up…
        </button>
        {trial.by !== null && <span class="quiet">by {clean(trial.by)}</span>}
      </div>
    </div>
  );
}

export function Differences({ differences }: { differences: readonly Difference[] }) {
  return (
    <ol class="differences">
      {differences.toReversed().map(({ position, candidate, action, event }, n) => (
        <li key={`${position} ${n}`} class={candidate ? "new" : "old"}>
          <span class="which">{candidate ? "only the candidate" : "only the rule"}</span>
          <span>{clean(action)}</span>
          <span class="what">
            <Glyph state={stateOf({ state: event?.state ?? null })} />{" "}
            <bdi>
              {shown(event?.service ?? null)} on {shown(event?.host ?? null)}
            </bdi>
          </span>
        </li>
      ))}
    </ol>
  );
}
