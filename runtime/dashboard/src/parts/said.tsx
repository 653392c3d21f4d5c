// What rules said: the latest events that they sent to a live output.

import { compact, timeOfDay } from "../logic/format.ts";
import { clean, shown } from "../logic/names.ts";
import { stateOf } from "../logic/state.ts";
import { MOST_SAID, said, serverNow } from "../page.ts";
import { Glyph } from "./glyph.tsx";

export function Said() {
  const { items } = said.value;
  if (items.length === 0) {
    return (
      <p class="quiet pad">
        Nothing yet. What a rule sends to an output of kind <code>live</code> is listed here, the latest{" "}
        {MOST_SAID}.
      </p>
    );
  }
  return (
    <div class="list-box" tabIndex={0} role="region" aria-label="Latest events from rules">
      <ol>
        {items.map(({ id, item: { rule, output, event } }) => {
          const state = stateOf(event);
          return (
            <li key={id} class={`event event-${state}`}>
              <div>
                <time>{timeOfDay(event.time === null ? serverNow() : Date.parse(event.time), true)}</time>
                <span class={`event-state ink-${state}`}>
                  <Glyph state={state} />
                  <span>{clean(event.state ?? "none", 40)}</span>
                </span>
                <span class="event-host">
                  <bdi>{shown(event.host)}</bdi>
                </span>
                <span class="event-service">
                  <bdi>{shown(event.service)}</bdi>
                </span>
                <span class="event-metric">{compact(event.metric)}</span>
                <span class="event-text">
                  <bdi>{clean(event.description ?? "")}</bdi>
                </span>
                <span class="event-rule" title={`output ${clean(output)}`}>
                  <bdi>{clean(rule)}</bdi>
                </span>
              </div>
            </li>
          );
        })}
      </ol>
    </div>
  );
}
