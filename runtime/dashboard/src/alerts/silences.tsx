// Silences: what is kept quiet, until when, by whom and why.

import { useEffect } from "preact/hooks";
import { useGet } from "../api.ts";
import { grouped, span, timeOfDay } from "../logic/format.ts";
import { clean, cleanText } from "../logic/names.ts";
import { alerts, serverNow, tick } from "../page.ts";
import { endSilence, silence } from "./act.ts";
import type { Silence } from "./contract.ts";
import { renew, renewed, Shows } from "./list.tsx";

export function Silences() {
  const { data, error, again } = useGet<{ silences: Silence[] }>("silences", {}, 5_000);
  const turn = renewed.value;
  useEffect(() => {
    if (turn > 0) again();
  }, [turn]);
  void tick.value;
  const now = serverNow();
  const over = (one: Silence): boolean => one.expired || Date.parse(one.until) <= now;
  const all = data?.silences ?? [];
  const order = (one: Silence) => (over(one) ? 1 : 0);
  const sorted = [...all].sort((a, b) => order(a) - order(b) || Date.parse(a.until) - Date.parse(b.until));
  return (
    <section class="panel list alerts" aria-labelledby="silences-title">
      <div class="panel-head">
        <h2 id="silences-title">Silences</h2>
        <Shows counts={alerts.value} />
        <span class="head-end">
          <button type="button" class="primary small" onClick={() => silence([], renew)}>
            silence… <kbd>x</kbd>
          </button>
        </span>
      </div>
      {data === null ? (
        <p class="quiet pad">{error === null ? "Asking for silences…" : clean(error.message)}</p>
      ) : sorted.length === 0 ? (
        <div class="calm">
          <h3>Nothing is silenced</h3>
          <p class="quiet">
            A silence keeps alerts that match a query from being told, for a while and for a reason.
          </p>
        </div>
      ) : (
        <div class="list-box">
          <ol class="silences">
            {sorted.map((one) => (
              <Row key={one.id} one={one} now={now} over={over(one)} />
            ))}
          </ol>
        </div>
      )}
    </section>
  );
}

function Row({ one, now, over }: { one: Silence; now: number; over: boolean }) {
  const until = Date.parse(one.until);
  const from = Date.parse(one.from);
  const gone = Math.min(1, Math.max(0, (now - from) / (until - from)));
  return (
    <li class={over ? "silence silence-over" : "silence"}>
      <div class="silence-what">
        <b>{cleanText(one.reason)}</b>
        <code>{cleanText(one.query)}</code>
      </div>
      <span class="quiet">
        by <bdi>{clean(one.by) || "somebody"}</bdi>, {grouped(one.matched)} kept quiet
      </span>
      <div class="silence-time">
        <b>{over ? "over" : span((until - now) / 1000)}</b>
        <small>
          {timeOfDay(from, true)} to {timeOfDay(until, true)} UTC
        </small>
        {!over && <progress max={1} value={gone} aria-label="How much of the silence is over" />}
      </div>
      {over ? (
        <span />
      ) : (
        <button type="button" class="tool" onClick={() => endSilence(one, renew)}>
          end now…
        </button>
      )}
    </li>
  );
}
