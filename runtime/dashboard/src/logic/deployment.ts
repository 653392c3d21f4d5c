// A deployment as a person fills it in, and as the server is asked for it.

import type { Manifest } from "../rules/contract.ts";

export type How = "replace" | "shadow" | "canary";

export interface Wish {
  /** The rule's name. */
  name: string;
  query: string;
  per: string;
  /** Values by parameter; an empty one is not sent, so that the default holds. */
  set: Record<string, string>;
  /** Configured outputs by declared name. */
  to: Record<string, string>;
  how: How;
  percent: string;
  /** Empty: as long as usual. */
  watch: string;
  resetState: boolean;
  /** Empty: not at all. */
  backfill: string;
}

/** The name that a rule gets when nobody says another. */
export const usualName = (module: string): string => module.replaceAll("_", "-").toLowerCase();

/** The form as it is first shown: what runs now keeps its settings, else everything is as the module says. */
export function begun(manifest: Manifest, name: string, live: string): Wish {
  const { running } = manifest;
  const set: Record<string, string> = {};
  for (const parameter of manifest.parameters)
    set[parameter.name] = running?.set[parameter.name] ?? parameter.default ?? "";
  const to: Record<string, string> = {};
  for (const output of manifest.outputs) to[output.name] = running?.outputs[output.name] ?? live;
  // Beside what the module declares, what runs may have further names with targets, which its parameters speak of.
  Object.assign(to, running?.outputs);
  // A query that somebody gave to what runs stays, though the module says another.
  const before = (what: string): string | undefined => {
    const from = running?.changes.find((change) => change.what === what)?.from;
    return typeof from === "string" ? from : undefined;
  };
  return {
    name,
    query: before("query") ?? manifest.query,
    per: before("per") ?? manifest.per,
    set,
    to,
    how: "replace",
    percent: "5",
    watch: "",
    resetState: false,
    backfill: "",
  };
}

/** The parameters of the request: only what differs from what the module says by itself. */
export function asked(wish: Wish, manifest: Manifest): Record<string, string> {
  const query: Record<string, string> = {};
  if (wish.query.trim() !== "" && wish.query.trim() !== manifest.query) query.query = wish.query.trim();
  if (wish.per.trim() !== "" && wish.per.trim() !== manifest.per) query.per = wish.per.trim();
  for (const { name, default: usual } of manifest.parameters) {
    const value = wish.set[name] ?? "";
    if (value !== "" && value !== usual) query[`set.${name}`] = value;
  }
  for (const [name, output] of Object.entries(wish.to)) if (output !== "") query[`to.${name}`] = output;
  if (wish.how === "shadow") query.shadow = "true";
  if (wish.how === "canary") query.canary = wish.percent.trim();
  if (wish.watch.trim() !== "") query.watch = wish.watch.trim();
  if (wish.how === "replace") {
    if (wish.resetState) query.reset_state = "true";
    if (wish.backfill.trim() !== "") query.backfill = wish.backfill.trim();
  }
  return query;
}

/** The field that a message of the server is about: `set.NAME`, `to.NAME`, `query`, `per`, `name`; null when it is about none. */
export function about(message: string): string | null {
  const parameter = /^(?:parameter `?|--set )([\w.-]+)/u.exec(message)?.[1];
  if (parameter !== undefined)
    return ["watch", "canary", "backfill"].includes(parameter) ? parameter : `set.${parameter}`;
  const output = /^--to ([\w.-]+)/u.exec(message)?.[1];
  if (output !== undefined) return `to.${output}`;
  if (message.startsWith("the query")) return "query";
  if (message.startsWith("a key is one of")) return "per";
  if (message.startsWith("a rule's name")) return "name";
  return null;
}

/** A message for the field it stands beside: without the name of the field. */
export function beside(message: string): string {
  return message
    .replace(/^parameter `?[\w.-]+`?(?: \(\w+\))?(?: is missing)?:? ?/u, "")
    .replace(/^--(?:set|to) [\w.-]+(?:=\S*)?: /u, "")
    .replace(/^the query: /u, "");
}

/** A limit of a rule for people: `memory_bytes` as `memory bytes`, and its value in few characters. */
export const spaced = (name: string): string => name.replaceAll("_", " ");

const PLACE = /(?:[\w@.-]+\/)*[\w.-]+\.rs:\d+(?::\d+)?/gu;

/** A text in parts, every other of which is a place in a source file such as `src/lib.rs:87:34`. */
export function places(text: string): string[] {
  const parts: string[] = [];
  let from = 0;
  for (const found of text.matchAll(PLACE)) {
    parts.push(text.slice(from, found.index), found[0]);
    from = found.index + found[0].length;
  }
  parts.push(text.slice(from));
  return parts;
}
