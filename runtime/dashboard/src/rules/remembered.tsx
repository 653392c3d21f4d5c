// What the keys of a rule remember, field by field.

import { useEffect, useState } from "preact/hooks";
import { param } from "../address.ts";
import { useGet } from "../api.ts";
import { span, timeOfDay } from "../logic/format.ts";
import { clean, cleanText, shown } from "../logic/names.ts";
import { serverNow } from "../page.ts";
import { pathOf } from "./change.ts";
import type { KeyState, RuleInFull, States } from "./contract.ts";

const LIMIT = 50;

const key = param("key", "");

const FORMS: Readonly<Record<string, string>> = {
  stream: "HOST/SERVICE",
  host: "a host",
  service: "a service",
};

export function Remembered({ rule }: { rule: RuleInFull }) {
  const wanted = key.value;
  const [text, setText] = useState(wanted);
  useEffect(() => setText(wanted), [wanted]);
  const whole = rule.per === "whole";
  const { data, error, again } = useGet<States>(
    `${pathOf(rule.name)}/state`,
    { key: wanted === "" || whole ? null : wanted, limit: LIMIT },
    3_000,
  );
  return (
    <>
      {!whole && (
        <form
          class="filter"
          onSubmit={(event) => {
            event.preventDefault();
            if (text.trim() === wanted) again();
            key.set(text.trim());
          }}
        >
          <input
            class="find code"
            value={text}
            placeholder={FORMS[rule.per] ?? "a value of the attribute"}
            aria-label="Key"
            spellcheck={false}
            autocomplete="off"
            onInput={(event) => setText(event.currentTarget.value)}
          />
          <button type="submit" class="tool">
            look
          </button>
          {wanted !== "" && (
            <button type="button" class="tool" onClick={() => key.set("")}>
              all keys
            </button>
          )}
        </form>
      )}
      {error !== null && data === null ? (
        <p class="complaint">{clean(error.message)}</p>
      ) : data === null ? (
        <p class="quiet">Asking the rule…</p>
      ) : data.keys.length === 0 ? (
        <p class="quiet">It remembers nothing.</p>
      ) : (
        <>
          {data.keys.map((one) => (
            <Key key={one.id} one={one} per={data.per} open={data.keys.length === 1} />
          ))}
          {data.more && <p class="quiet">These are the first {LIMIT}; name a key to see another.</p>}
        </>
      )}
    </>
  );
}

/** How a person would name a key. */
function nameOf({ host, service, id }: KeyState, per: string): string {
  if (per === "whole") return "its only key";
  if (per === "host") return shown(host);
  if (per === "service") return shown(service);
  if (per === "stream") return `${shown(service)} on ${shown(host)}`;
  return clean(id);
}

function Key({ one, per, open }: { one: KeyState; per: string; open: boolean }) {
  const now = serverNow();
  const wakes = one.wakes.map((at) => Date.parse(at)).filter((at) => !Number.isNaN(at));
  return (
    <details class="key" open={open}>
      <summary>
        <bdi>{nameOf(one, per)}</bdi>
        <small>
          {wakes.length > 0 &&
            `wakes ${wakes[0] !== undefined && wakes[0] > now ? `in ${span((wakes[0] - now) / 1000)}` : "now"} · `}
          schema {one.schema}
        </small>
      </summary>
      <State value={one.state} />
      {wakes.length > 0 && (
        <p class="quiet">wakes at {wakes.map((at) => timeOfDay(at, true)).join(", ")} UTC</p>
      )}
    </details>
  );
}

const isPlain = (value: unknown): boolean => value === null || typeof value !== "object";

/** Plain fields as rows, everything deeper as JSON. */
function State({ value }: { value: unknown }) {
  if (value === null || typeof value !== "object" || Array.isArray(value))
    return <pre tabIndex={0}>{cleanText(JSON.stringify(value, null, 1) ?? "nothing")}</pre>;
  return (
    <dl class="fields code-fields">
      {Object.entries(value).map(([name, part]) => (
        <div key={name}>
          <dt>{clean(name)}</dt>
          <dd>
            {isPlain(part) ? (
              <bdi>{cleanText(String(part))}</bdi>
            ) : (
              <pre>{cleanText(JSON.stringify(part, null, JSON.stringify(part).length > 60 ? 1 : 0))}</pre>
            )}
          </dd>
        </div>
      ))}
    </dl>
  );
}
