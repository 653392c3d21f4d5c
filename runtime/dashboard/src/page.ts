// What the page knows, as signals: parts read them, and only what changed is drawn again.

import { signal } from "@preact/signals";
import type { Forwarded, Overview, Refusal, Rules } from "./contract.ts";
import type { Name } from "./logic/names.ts";
import { Latest, Samples } from "./logic/ring.ts";
import { type Cell, Store } from "./logic/store.ts";
import { read, type View, written } from "./logic/view.ts";

/** How the connection is. */
export type Link =
  | { state: "connecting" }
  | { state: "live" }
  | { state: "lost"; since: number; next: number; reason: string };

/** Items of what rules said that are kept. */
export const MOST_SAID = 200;

/** Seconds of the sparkline. */
export const SPARK = 120;

export const store = new Store();
export const view = signal<View>(read(location.hash));
export const link = signal<Link>({ state: "connecting" });
/** Whether a snapshot of the present query has arrived. */
export const settled = signal(false);
/** Grows when the present query is to be asked again. */
export const asked = signal(0);
export const refusal = signal<{ query: string; error: Refusal } | null>(null);
export const overview = signal<Overview | null>(null);
export const rules = signal<Rules | null>(null);
/** Part of the names of the rules that are listed; empty lists the busiest. */
export const sought = signal("");
export const said = signal<{ items: Latest<Forwarded>["items"]; total: number }>({ items: [], total: 0 });
export const paused = signal(false);
export const samples = new Samples(SPARK);
/** Once a second, so that ages and clocks move. */
export const tick = signal(Date.now());
/** Grows a few times a second while the grid changes. */
export const changes = signal(0);
/** The server's clock minus ours, in milliseconds. */
export const skew = signal(0);

/** The stream in the detail panel. */
export const opened = signal<{ host: Name; service: Name } | null>(null);
/** The stream under the pointer or the keyboard's focus, and where its cell is on the screen. */
export const pointed = signal<{ cell: Cell; box: DOMRect } | null>(null);
export const helping = signal(false);

const latest = new Latest<Forwarded>(MOST_SAID);

/** The time on the server, as well as we know it. */
export const serverNow = (): number => Date.now() + skew.value;

export function hear(items: readonly Forwarded[]): void {
  latest.add(items);
  if (!paused.value) showSaid();
}

export function showSaid(): void {
  said.value = { items: latest.items, total: latest.total };
}

export function pause(stop: boolean): void {
  paused.value = stop;
  if (!stop) showSaid();
}

/** How many items came since the list was paused. */
export const missedWhilePaused = (): number => latest.total - said.value.total;

/** Changes the view, and the address with it. */
export function look(change: Partial<View>): void {
  const next = { ...view.value, ...change };
  const hash = written(next);
  const queried = change.query !== undefined && change.query !== view.value.query;
  view.value = next;
  const address = hash === "" ? location.pathname + location.search : `#${hash}`;
  // A new query is a step that "back" takes back; how it is looked at is not.
  if (queried) history.pushState(null, "", address);
  else history.replaceState(null, "", address);
}

addEventListener("popstate", () => {
  view.value = read(location.hash);
});
addEventListener("hashchange", () => {
  view.value = read(location.hash);
});
