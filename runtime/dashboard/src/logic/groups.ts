// Rows of the grid by tag: each row stands under one tag, and each group has a line of its own above it.

import { byName, type Name } from "./names.ts";
import type { Store } from "./store.ts";

/**
 * How rows are grouped: not at all, by the tag that tells most, or by tags that begin with a prefix such as `role:`. An
 * attribute counts as a tag `role=…`.
 */
export type Grouping = string;

/** The line above a group. */
export interface Head {
  label: string;
  rows: number;
}

/** Rows in their order; undefined where the line of a group stands. */
export interface Grouped {
  names: (Name | undefined)[];
  heads: Map<number, Head>;
}

/** What rows without such a tag stand under. */
export const UNTAGGED = "(none)";

/** Tags of one row that are looked at. */
const MOST_TAGS = 64;

/** Prefixes that are proposed. */
const MOST_PREFIXES = 12;

type Tags = Map<Name, Set<string>>;

/** The fields of an event that are no attributes. */
const FIELDS = new Set(["host", "service", "state", "description", "metric", "tags", "time", "ttl"]);

/** The tags of each row: of each host, or with `services` of each service; `attributes` stand among them as `name=value`. */
export function tagsOf(store: Store, services: boolean, attributes: boolean): Tags {
  const tags: Tags = new Map();
  for (const cell of store.cells()) {
    const name = services ? cell.service : cell.host;
    let own = tags.get(name);
    if (own === undefined) {
      own = new Set();
      tags.set(name, own);
    }
    for (const tag of cell.event.tags ?? []) if (own.size < MOST_TAGS) own.add(String(tag));
    if (!attributes) continue;
    for (const [name, value] of Object.entries(cell.event)) {
      if (typeof value === "string" && !FIELDS.has(name) && own.size < MOST_TAGS) own.add(`${name}=${value}`);
    }
  }
  return tags;
}

/** The tag that each row stands under. */
export function labels(tags: Tags, by: Grouping): Map<Name, string> {
  const rows = new Map<string, number>();
  for (const own of tags.values()) for (const tag of own) rows.set(tag, (rows.get(tag) ?? 0) + 1);
  const found = new Map<Name, string>();
  for (const [name, own] of tags) {
    const fit =
      by === "tag"
        ? // Shared with somebody, but not with everybody; among those the one that tells most is the rarest.
          [...own].filter((tag) => (rows.get(tag) ?? 0) > 1 && (rows.get(tag) ?? 0) < tags.size)
        : [...own].filter((tag) => tag.startsWith(by));
    fit.sort((a, b) => (rows.get(a) ?? 0) - (rows.get(b) ?? 0) || byName(a, b));
    const first = fit[0];
    if (first !== undefined) found.set(name, by === "tag" ? first : first.slice(by.length));
  }
  return found;
}

/** Prefixes that several tags have: `role:`, `dc=`. */
export function prefixes(tags: Tags): string[] {
  const seen = new Map<string, Set<string>>();
  for (const own of tags.values()) {
    for (const tag of own) {
      const prefix = /^[\w.-]{1,40}[:=]/u.exec(tag)?.[0];
      if (prefix === undefined) continue;
      const tail = seen.get(prefix) ?? new Set();
      seen.set(prefix, tail.add(tag));
    }
  }
  return [...seen]
    .filter(([, tails]) => tails.size > 1 && tails.size <= Math.max(2, tags.size / 2))
    .map(([prefix]) => prefix)
    .sort()
    .slice(0, MOST_PREFIXES);
}

/** Rows under the lines of their groups. The first row decides where its group stands, so the worst group comes first. */
export function grouped(
  names: readonly Name[],
  labels: ReadonlyMap<Name, string>,
  byLabel: boolean,
): Grouped {
  const groups = new Map<string, Name[]>();
  for (const name of names) {
    const label = labels.get(name) ?? UNTAGGED;
    const group = groups.get(label);
    if (group === undefined) groups.set(label, [name]);
    else group.push(name);
  }
  const order = [...groups];
  if (byLabel) order.sort(([a], [b]) => Number(a === UNTAGGED) - Number(b === UNTAGGED) || byName(a, b));
  const result: Grouped = { names: [], heads: new Map() };
  for (const [label, rows] of order) {
    result.heads.set(result.names.length, { label, rows: rows.length });
    result.names.push(undefined, ...rows);
  }
  return result;
}
