// What the address says about the view, so that it can be shared.

import type { Order } from "./axes.ts";

export type Size = "small" | "normal" | "large";

export interface View {
  /** The query; empty means everything. */
  query: string;
  order: Order;
  /** Services down the side instead of hosts. */
  turned: boolean;
  size: Size;
  /** The node below the grid instead of the rules. */
  node: boolean;
}

export const PLAIN: View = { query: "", order: "name", turned: false, size: "normal", node: false };

/** The longest query that is taken from an address. */
const LONGEST = 8_192;

/** The part of the address behind `#`, without what is as usual. */
export function written(view: View): string {
  const params = new URLSearchParams();
  if (view.query !== "") params.set("q", view.query);
  if (view.order !== PLAIN.order) params.set("sort", view.order);
  if (view.turned) params.set("turned", "1");
  if (view.size !== PLAIN.size) params.set("size", view.size);
  if (view.node) params.set("below", "node");
  return params.toString();
}

/** The view in an address. What makes no sense is as usual. */
export function read(hash: string): View {
  const params = new URLSearchParams(hash.replace(/^#/u, ""));
  const size = params.get("size");
  return {
    query: (params.get("q") ?? "").slice(0, LONGEST),
    order: params.get("sort") === "worst" ? "worst" : "name",
    turned: params.get("turned") === "1",
    size: size === "small" || size === "large" ? size : "normal",
    node: params.get("below") === "node",
  };
}

/** A text as the query language writes it. */
export function quoted(text: string): string {
  const escapes: Record<string, string> = { '"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t" };
  return `"${text.replace(/["\\\n\r\t]/gu, (letter) => escapes[letter] ?? letter)}"`;
}

/** A query for events with this value in a field. */
export function equals(field: string, value: string | null): string {
  return `${field} = ${value === null ? "nil" : quoted(value)}`;
}
