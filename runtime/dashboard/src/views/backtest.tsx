// Backtest: what a rule would have said about the past, and how two versions of it differ.

import { useGet } from "../api.ts";
import type { Candidate, Backtest as Test } from "../backtest/contract.ts";
import { chosen, Form } from "../backtest/form.tsx";
import { Result } from "../backtest/result.tsx";
import { useKeys } from "../keys.ts";
import { percent } from "../logic/format.ts";
import { clean } from "../logic/names.ts";
import { Glyph } from "../parts/glyph.tsx";
import "../styles/split.css";
import "../styles/rules.css";
import "../styles/backtest.css";

const LOOK = {
  waiting: "other",
  running: "warning",
  done: "ok",
  failed: "critical",
  cancelled: "none",
} as const;

export function Backtest() {
  useKeys("Backtest", [
    { keys: "Enter", does: "run", act: () => document.getElementById("run-backtest")?.click() },
    { keys: "c", does: "change what is tried", act: () => document.getElementById("try")?.focus() },
  ]);
  const { data, again } = useGet<{ backtests: Test[] }>("backtests", {}, 4_000);
  const id = chosen.value;
  return (
    <div class="backtest">
      <section class="panel backtest-side" aria-labelledby="backtest-title">
        <div class="panel-head">
          <h2 id="backtest-title">Try a rule on the past</h2>
        </div>
        <div class="side-body">
          <Form began={again} />
          <Earlier tests={data?.backtests ?? []} />
        </div>
      </section>
      <section class="panel backtest-main" aria-label="What was found">
        {id === "" ? (
          <div class="calm">
            <h3>Before it runs on today, try it on yesterday</h3>
            <p>
              A rule reads the log again as it was written, and nothing that it asks for is carried out. What
              comes out is the same each time.
            </p>
          </div>
        ) : (
          <div class="side-body" tabIndex={0} role="region" aria-label="The backtest">
            <Result key={id} id={id} ended={again} />
          </div>
        )}
      </section>
    </div>
  );
}

function Earlier({ tests }: { tests: readonly Test[] }) {
  if (tests.length === 0) return null;
  return (
    <section class="earlier">
      <h3>Earlier</h3>
      <ul>
        {tests.map((test) => (
          <li key={test.id}>
            <button
              type="button"
              aria-pressed={test.id === chosen.value}
              onClick={() => chosen.set(test.id, true)}
            >
              <Glyph state={LOOK[test.status] ?? "none"} />
              <span>
                {clean(nameOf(test))}
                <small> {test.status === "running" ? percent(test.progress) : test.status}</small>
              </span>
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}

/** What was tried, and with what it was compared, in a few words. */
function nameOf({ asked, id }: Test): string {
  const { against, set = {} } = asked;
  const name = (one: Candidate) => one.rule ?? one.module?.slice(0, 12) ?? id;
  const other =
    asked.rule === undefined
      ? ""
      : Object.entries(set)
          .map(([key, value]) => ` ${key}=${value}`)
          .join("");
  return `${name(asked)}${other}${against === null ? "" : ` against ${name(against)}`}`;
}
