// The time span of charts: so far back until now, or between two moments. It is in the address, and goes along to other views.

import { computed } from "@preact/signals";
import { useState } from "preact/hooks";
import { alter, param } from "../address.ts";
import { fieldOf, isMoment, moment, ofField } from "../logic/time.ts";
import { serverNow } from "../page.ts";
import "../styles/span.css";

const from = param("from", "-15m");
const to = param("to", "");

/** The time span in force, as the server takes it; `to` is null for now. */
export const timeSpan = computed<{ from: string; to: string | null }>(() => ({
  from: isMoment(from.value) ? from.value : "-15m",
  to: to.value === "" || to.value === "now" || !isMoment(to.value) ? null : to.value,
}));

const SPANS: readonly (readonly [string, string])[] = [
  ["-5m", "5 m"],
  ["-15m", "15 m"],
  ["-1h", "1 h"],
  ["-6h", "6 h"],
  ["-1d", "1 d"],
  ["-7d", "7 d"],
];

/** Sets the time span; null for `to` is now. */
export function setSpan(begin: string, end: string | null): void {
  alter({ from: begin === "-15m" ? null : begin, to: end });
}

function Between({ close }: { close: () => void }) {
  const now = serverNow();
  const [begin, setBegin] = useState(fieldOf(moment(timeSpan.value.from, now)));
  const [end, setEnd] = useState(fieldOf(moment(timeSpan.value.to ?? "", now)));
  const good = begin !== "" && end !== "" && begin < end;
  return (
    <form
      class="span-between"
      onSubmit={(event) => {
        event.preventDefault();
        if (!good) return;
        setSpan(ofField(begin), ofField(end));
        close();
      }}
    >
      <label>
        <span>from</span>
        <input
          type="datetime-local"
          value={begin}
          onInput={(event) => setBegin(event.currentTarget.value)}
          required
        />
      </label>
      <label>
        <span>to</span>
        <input
          type="datetime-local"
          value={end}
          onInput={(event) => setEnd(event.currentTarget.value)}
          required
        />
      </label>
      <span class="quiet">UTC</span>
      <button type="submit" class="tool" disabled={!good}>
        show
      </button>
    </form>
  );
}

export function SpanPicker() {
  const at = timeSpan.value;
  const fixed = at.to !== null || !SPANS.some(([back]) => back === at.from);
  const [picking, setPicking] = useState(fixed);
  return (
    <div class="span-picker">
      <div class="pair" role="group" aria-label="Time span">
        {SPANS.map(([back, label]) => (
          <button
            key={back}
            type="button"
            aria-pressed={at.to === null && at.from === back}
            onClick={() => {
              setSpan(back, null);
              setPicking(false);
            }}
          >
            {label}
          </button>
        ))}
        <button
          type="button"
          aria-pressed={fixed}
          aria-expanded={picking}
          title="Between two moments"
          onClick={() => setPicking(!picking)}
        >
          …
        </button>
      </div>
      {picking && <Between key={`${at.from} ${at.to}`} close={() => setPicking(fixed)} />}
    </div>
  );
}
