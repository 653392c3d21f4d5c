// What a person does to rules: deploy, roll back, promote, give up, pause, resume, remove. Each is refused by the server when
// somebody else changed the rule since this page last saw it.

import { send } from "../api.ts";
import { grouped } from "../logic/format.ts";
import { clean } from "../logic/names.ts";
import { question } from "../parts/dialog.tsx";
import { notify } from "../parts/notice.tsx";
import type { Deployed, Past, RuleInFull } from "./contract.ts";

/** Compiling a large module on a slow machine takes a while. */
const LONG = 120_000;

export const pathOf = (name: string): string => `rules/${encodeURIComponent(name)}`;

const seen = (generation: number) => ({ "if-match": `"${generation}"` });

/**
 * Deploys a module over the generation that was seen (0: there is none of that name), or with `dry_run` in the query only
 * checks it. The same wish with the same key is granted once.
 */
export async function deploy(
  name: string,
  bytes: Uint8Array,
  generation: number,
  query: Record<string, string>,
  { key, signal }: { key?: string; signal?: AbortSignal },
): Promise<Deployed> {
  const answer = await send<Deployed>("PUT", pathOf(name), bytes, {
    query,
    headers: { ...seen(generation), ...(key === undefined ? {} : { "idempotency-key": key }) },
    patience: LONG,
    ...(signal === undefined ? {} : { signal }),
  });
  if (answer === null) throw new Error("the server did not say what it deployed");
  return answer;
}

/** The settings of a rule that runs: the same module, deployed anew with others. */
export function adjust(rule: RuleInFull, outputs: readonly string[], after: () => void): void {
  const text = (value: unknown) => String(value ?? "");
  const set = Object.entries(rule.set).map(([name, value]) => ({
    name: `set.${name}`,
    label: clean(name),
    value: text(value),
    long: text(value).includes("\n"),
    most: 100_000,
  }));
  const to = Object.entries(rule.outputs).map(([name, value]) => ({
    name: `to.${name}`,
    label: `${clean(name)} →`,
    value,
    options: [...new Set([value, ...outputs])].map((output) => ({ value: output, label: clean(output) })),
  }));
  question({
    title: `Settings of ${clean(rule.name)}`,
    text: `The same module becomes generation ${rule.generation + 1}, and its keys keep what they remember.`,
    fields: [
      ...set,
      ...to,
      { name: "query", label: "events", value: rule.query, needed: true, long: true, most: 8192 },
      { name: "per", label: "per", value: rule.per, needed: true },
    ],
    action: "deploy",
    signed: true,
    async act({ by: _, ...query }) {
      const done = await send<Deployed>("PUT", pathOf(rule.name), undefined, {
        query: { module: rule.module, ...query },
        headers: seen(rule.generation),
        patience: LONG,
      });
      notify(`${clean(rule.name)} runs with these settings, as generation ${done?.generation}`);
      after();
    },
  });
}

export async function pause(rule: RuleInFull, stop: boolean): Promise<void> {
  await send("POST", `${pathOf(rule.name)}/${stop ? "pause" : "resume"}`, undefined, {
    headers: seen(rule.generation),
  });
  notify(`${clean(rule.name)} ${stop ? "is paused: it sees no events" : "goes on"}`);
}

export function remove(rule: RuleInFull, after: () => void): void {
  question({
    title: `Remove ${clean(rule.name)}?`,
    text: `It stops at once, and what its ${grouped(rule.keys)} keys remember is gone. Its module is kept for a while.`,
    action: "remove",
    danger: true,
    signed: true,
    async act() {
      await send("DELETE", pathOf(rule.name), undefined, { headers: seen(rule.generation) });
      notify(`${clean(rule.name)} is removed`);
      after();
    },
  });
}

export function rollBack(
  rule: RuleInFull,
  past: readonly Past[],
  to: number | null,
  after: () => void,
): void {
  const options = past.toReversed().map(({ generation, version, by, how }) => ({
    value: String(generation),
    label: `generation ${generation}, version ${clean(version)}${by === null ? "" : `, by ${clean(by)}`} (${how})`,
  }));
  const usual = past.findLast(({ how }) => how === "replaced") ?? past.at(-1);
  question({
    title: `Roll ${clean(rule.name)} back`,
    text: `The earlier deployment comes back as generation ${rule.generation + 1}, with what its keys remember now.`,
    fields: [
      { name: "to", label: "to", value: String(to ?? usual?.generation ?? ""), options },
      { name: "reason", label: "why", hint: "for the rule's history", most: 200 },
    ],
    action: "roll back",
    signed: true,
    async act({ to: chosen = "", reason = "" }) {
      const query: Record<string, string> = { to: chosen };
      if (reason.trim() !== "") query.reason = reason.trim();
      const done = await send<Deployed>("POST", `${pathOf(rule.name)}/rollback`, undefined, {
        query,
        headers: seen(rule.generation),
        patience: LONG,
      });
      notify(
        `${clean(rule.name)} is back at version ${clean(done?.version ?? "")}, as generation ${done?.generation}`,
      );
      after();
    },
  });
}

export function endTrial(rule: RuleInFull, promote: boolean, after: () => void): void {
  const { trial } = rule;
  if (trial === null) return;
  question({
    title: promote ? `Promote version ${clean(trial.version)}?` : `Give up version ${clean(trial.version)}?`,
    text: promote
      ? "The candidate becomes the rule, with what its keys remember."
      : "The candidate goes; the rule stays as it is.",
    fields: promote ? [] : [{ name: "reason", label: "why", needed: true, most: 200 }],
    action: promote ? "promote" : "give up",
    danger: !promote,
    signed: true,
    async act({ reason = "" }) {
      const query: Record<string, string> = promote ? {} : { reason: reason.trim() };
      await send("POST", `${pathOf(rule.name)}/${promote ? "promote" : "abandon"}`, undefined, {
        query,
        headers: seen(rule.generation),
      });
      notify(promote ? `version ${clean(trial.version)} is in force` : "the candidate is given up");
      after();
    },
  });
}
