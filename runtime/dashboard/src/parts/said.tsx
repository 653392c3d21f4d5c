// What rules said: the latest events that they sent to a live output.

import { compact, grouped, timeOfDay } from "../logic/format.ts";
import { clean, shown } from "../logic/names.ts";
import { stateOf } from "../logic/state.ts";
import { MOST_SAID, missedWhilePaused, pause, paused, said, serverNow, tick } from "../page.ts";
import { Glyph } from "./glyph.tsx";
import "../styles/said.css";

export function Said() {
  const { items, total } = said.value;
  const stopped = paused.value;
  if (stopped) void tick.value;
  const missed = stopped ? missedWhilePaused() : 0;
  return (
    <section class="panel said-panel" aria-labelledby="said-title">
      <div class="panel-head">
        <h2 id="said-title">What rules said</h2>
        <span class="counts">{total > 0 && grouped(total)}</span>
        <button
          type="button"
          class="tool"
          aria-pressed={stopped}
          onClick={() => pause(!stopped)}
          title="Hold the list still (Space)"
        >
          {stopped ? `paused${missed > 0 ? `, ${compact(missed)} new` : ""}` : "pause"}
        </button>
      </div>
      {items.length === 0 ? (
        <p class="quiet pad">
          Nothing yet. What a rule sends to an output of kind <code>live</code> is listed here, the latest{" "}
          {MOST_SAID}.
        </p>
      ) : (
        <div class="list-box" tabIndex={0} role="region" aria-label="Latest events from rules">
          <ol>
            {items.map(({ id, item: { rule, output, event } }) => {
              const state = stateOf(event);
              return (
                <li key={id} class={`said said-${state}`}>
                  <Glyph state={state} />
                  <div class="said-what">
                    <span class="said-name">
                      <bdi>{shown(event.service)}</bdi>
                    </span>
                    <span class="said-metric">
                      {event.metric === null ? clean(event.state ?? "") : compact(event.metric)}
                    </span>
                    <span class="said-where">
                      <bdi>{shown(event.host)}</bdi>
                    </span>
                    <time>{timeOfDay(event.time === null ? serverNow() : Date.parse(event.time), true)}</time>
                    {event.description !== null && (
                      <span class="said-text">
                        <bdi>{clean(event.description)}</bdi>
                      </span>
                    )}
                    <span class="said-rule" title={`output ${clean(output)}`}>
                      <bdi>{clean(rule)}</bdi>
                    </span>
                  </div>
                </li>
              );
            })}
          </ol>
        </div>
      )}
    </section>
  );
}
