// What is tried on which past, and with what it is compared.

import { useEffect, useMemo, useState } from "preact/hooks";
import { alter, param } from "../address.ts";
import { Failed, send, useGet } from "../api.ts";
import type { Rule, Rules } from "../contract.ts";
import { clean } from "../logic/names.ts";
import { notify } from "../parts/notice.tsx";
import type { Manifest } from "../rules/contract.ts";
import { Field } from "../rules/fields.tsx";
import type { Backtest, Candidate } from "./contract.ts";

const RULES = 1_000;

/** What is tried: a rule's name, or the digest of a module. */
export const rule = param("rule", "");
const module = param("module", "");
const against = param("against", "");
const from = param("from", "-1h");
const to = param("to", "");
export const chosen = param("id", "");

const PAST = ["-15m", "-1h", "-6h", "-24h", "-7d"] as const;

/** Settings that a rule is tried with; null: as it runs. */
interface Other {
  set: Record<string, string>;
  query: string;
  per: string;
}

/** Modules that this page gave to the node, by digest, and the settings that they are first tried with. */
const given = new Map<string, { manifest: Manifest; other: Other }>();

/** Gives a module to the node, to be tried. */
export async function give(bytes: Uint8Array, other?: Other): Promise<Manifest> {
  const manifest = await send<Manifest>("POST", "modules", bytes, { patience: 60_000 });
  if (manifest === null) throw new Error("the server does not say what it keeps");
  given.set(manifest.module, { manifest, other: other ?? ofModule(manifest) });
  return manifest;
}

const told = (error: unknown): void => notify(error instanceof Failed ? error.message : String(error), true);

const asItRuns = (one: Rule): Other => ({
  set: Object.fromEntries(Object.entries(one.set).map(([name, value]) => [name, String(value)])),
  query: one.query,
  per: one.per,
});

const ofModule = (manifest: Manifest): Other => ({
  set: Object.fromEntries(manifest.parameters.map(({ name, default: usual }) => [name, usual ?? ""])),
  query: manifest.query,
  per: manifest.per,
});

const filled = (set: Record<string, string>) =>
  Object.fromEntries(Object.entries(set).filter(([, value]) => value !== ""));

export function Form({ began }: { began: () => void }) {
  const { data } = useGet<Rules>("rules", { limit: RULES }, 10_000);
  const rules = data?.rules ?? [];
  const gave = given.get(module.value);
  const manifest = gave?.manifest;
  const running = module.value === "" ? rules.find(({ name }) => name === rule.value) : undefined;
  const source = manifest ?? running;
  const usual = useMemo<Other | null>(
    () => (gave !== undefined ? gave.other : running !== undefined ? asItRuns(running) : null),
    [module.value, rule.value, running?.generation],
  );
  const [other, setOther] = useState<Other | null>(null);
  useEffect(() => setOther(null), [usual]);
  const [problem, setProblem] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const now = other ?? usual;
  const first = rules[0]?.name;
  useEffect(() => {
    if (rule.value === "" && module.value === "" && first !== undefined) alter({ rule: first });
  }, [first]);
  const change = (news: Partial<Other>) => now !== null && setOther({ ...now, ...news });
  const choose = (value: string) =>
    given.has(value) ? alter({ module: value, rule: null }) : alter({ rule: value, module: null });

  const candidate = (): Candidate | null => {
    if (manifest !== undefined && now !== null)
      return { module: manifest.module, set: filled(now.set), query: now.query, per: now.per };
    // A module from an address, of which this page knows no more than its digest.
    if (module.value !== "") return { module: module.value };
    if (running === undefined || now === null) return null;
    if (other === null || usual === null) return { rule: running.name };
    const set = Object.fromEntries(
      Object.entries(now.set).filter(([name, value]) => value !== usual.set[name]),
    );
    return {
      rule: running.name,
      set,
      ...(now.query === usual.query ? {} : { query: now.query }),
      ...(now.per === usual.per ? {} : { per: now.per }),
    };
  };
  const run = async () => {
    const wanted = candidate();
    if (wanted === null) return;
    setBusy(true);
    setProblem(null);
    try {
      const compared = against.value === "" ? null : { rule: against.value };
      const done = await send<Backtest>("POST", "backtests", {
        ...wanted,
        against: compared,
        from: from.value,
        ...(to.value === "" ? {} : { to: to.value }),
      });
      if (done !== null) chosen.set(done.id, true);
      began();
    } catch (error) {
      setProblem(error instanceof Failed ? error.message : String(error));
    }
    setBusy(false);
  };
  const load = (file: File | undefined) => {
    if (file === undefined) return;
    file
      .arrayBuffer()
      .then((bytes) => give(new Uint8Array(bytes)))
      .then((found) => alter({ module: found.module, rule: null }), told);
  };
  return (
    <form
      class="backtest-form"
      onSubmit={(event) => {
        event.preventDefault();
        void run();
      }}
    >
      <Field id="try" label="try">
        <span class="with-end">
          <select
            id="try"
            value={module.value === "" ? rule.value : module.value}
            onChange={(event) => choose(event.currentTarget.value)}
          >
            {source === undefined && (
              <option value={module.value === "" ? rule.value : module.value}>
                {module.value === ""
                  ? clean(rule.value) || "nothing is deployed"
                  : `module ${clean(module.value).slice(0, 12)}…`}
              </option>
            )}
            {[...given.values()].map(({ manifest: { module: digest, name, version } }) => (
              <option key={digest} value={digest}>
                {clean(name)} {clean(version)}, a module
              </option>
            ))}
            {rules.map(({ name, version }) => (
              <option key={name} value={name}>
                {clean(name)} {clean(version)}
              </option>
            ))}
          </select>
          <label class="tool file">
            module…
            <input
              class="hidden"
              type="file"
              accept=".wasm,application/wasm"
              onChange={(event) => load(event.currentTarget.files?.[0])}
            />
          </label>
        </span>
      </Field>
      {now !== null && (
        <details open={manifest !== undefined || other !== null}>
          <summary>{other === null ? "with its settings" : "with other settings"}</summary>
          <div class="settings">
            {Object.entries(now.set).map(([name, value]) => (
              <Field key={name} id={`with-${name}`} label={clean(name)}>
                <input
                  id={`with-${name}`}
                  class="code"
                  value={value}
                  spellcheck={false}
                  autocomplete="off"
                  onInput={(event) => change({ set: { ...now.set, [name]: event.currentTarget.value } })}
                />
              </Field>
            ))}
            <Field id="with-query" label="events">
              <textarea
                id="with-query"
                class="code"
                rows={1}
                value={now.query}
                spellcheck={false}
                onInput={(event) => change({ query: event.currentTarget.value })}
              />
            </Field>
            <Field id="with-per" label="per">
              <input
                id="with-per"
                class="code"
                value={now.per}
                spellcheck={false}
                onInput={(event) => change({ per: event.currentTarget.value })}
              />
            </Field>
            {other !== null && manifest === undefined && (
              <button type="button" class="linked" onClick={() => setOther(null)}>
                as it runs
              </button>
            )}
          </div>
        </details>
      )}
      <Field id="against" label="compare with">
        <select
          id="against"
          value={against.value}
          onChange={(event) => against.set(event.currentTarget.value)}
        >
          <option value="">nothing</option>
          {rules.map(({ name, version }) => (
            <option key={name} value={name}>
              {clean(name)} {clean(version)}, as it runs
            </option>
          ))}
        </select>
      </Field>
      <Field id="from" label="from">
        <input
          id="from"
          class="code"
          value={from.value}
          spellcheck={false}
          autocomplete="off"
          onChange={(event) => from.set(event.currentTarget.value.trim())}
        />
        <div class="quick">
          {PAST.map((past) => (
            <button
              key={past}
              type="button"
              class="tool"
              aria-pressed={from.value === past && to.value === ""}
              onClick={() => alter({ from: past === "-1h" ? null : past, to: null })}
            >
              {past.slice(1)}
            </button>
          ))}
        </div>
      </Field>
      <Field id="to" label="to">
        <input
          id="to"
          class="code"
          value={to.value}
          placeholder="now"
          spellcheck={false}
          autocomplete="off"
          onChange={(event) => to.set(event.currentTarget.value.trim())}
        />
      </Field>
      {problem !== null && (
        <p class="complaint" role="alert">
          {clean(problem, 1_000)}
        </p>
      )}
      <button type="submit" class="primary" id="run-backtest" disabled={busy || candidate() === null}>
        {busy ? "…" : "Run"}
      </button>
    </form>
  );
}
