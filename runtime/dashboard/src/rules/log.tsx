// What a rule wrote into its log, and how it failed: the newest first.

import { useState } from "preact/hooks";
import { useGet } from "../api.ts";
import { grouped, timeOfDay } from "../logic/format.ts";
import { clean, cleanText } from "../logic/names.ts";
import type { State } from "../logic/state.ts";
import { Glyph } from "../parts/glyph.tsx";
import { pathOf } from "./change.ts";
import type { LogLine, Logs } from "./contract.ts";
import { Places } from "./places.tsx";

const LIMIT = 200;

const LOOK: Readonly<Record<string, State>> = {
  error: "critical",
  panic: "critical",
  fault: "critical",
  warn: "warning",
  warning: "warning",
  info: "ok",
  debug: "none",
  trace: "none",
};

const isFault = ({ level }: LogLine): boolean => LOOK[level] === "critical";

export function Log({ name }: { name: string }) {
  const { data, error } = useGet<Logs>(`${pathOf(name)}/logs`, { limit: LIMIT }, 2_000);
  const [faults, setFaults] = useState(false);
  const lines = (data?.lines ?? [])
    .filter((line) => !faults || isFault(line))
    .sort((a, b) => Date.parse(b.at) - Date.parse(a.at));
  if (data === null)
    return <p class="quiet">{error === null ? "Asking for the log…" : clean(error.message)}</p>;
  return (
    <>
      <div class="filter">
        <label class="check">
          <input
            type="checkbox"
            checked={faults}
            onChange={(event) => setFaults(event.currentTarget.checked)}
          />
          only faults
        </label>
        {data.missed > 0 && <span class="quiet">{grouped(data.missed)} older lines are not kept</span>}
      </div>
      {lines.length === 0 ? (
        <p class="quiet">
          {data.lines.length === 0 ? "The rule has written nothing, and did not fail." : "It did not fail."}
        </p>
      ) : (
        <ol class="log">
          {lines.map((line, n) => (
            <Line key={`${line.at} ${n}`} line={line} />
          ))}
        </ol>
      )}
    </>
  );
}

export function Line({ line }: { line: LogLine }) {
  const look = LOOK[line.level] ?? "critical";
  return (
    <li class={`log-${look}`}>
      <time dateTime={line.at} title={line.at}>
        {timeOfDay(Date.parse(line.at), true)}
      </time>
      <span class={`ink-${look}`}>
        <Glyph state={look} /> {clean(line.level)}
      </span>
      <pre>
        <Places text={cleanText(line.message)} />
      </pre>
      {line.event !== null && line.event !== undefined && (
        <details>
          <summary>
            the event
            {line.position === null || line.position === undefined
              ? ""
              : ` at position ${grouped(line.position)}`}
          </summary>
          <pre tabIndex={0}>
            {cleanText(typeof line.event === "string" ? line.event : JSON.stringify(line.event, null, 1))}
          </pre>
        </details>
      )}
    </li>
  );
}
