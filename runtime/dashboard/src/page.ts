// What the page knows, as signals: parts read them, and only what changed is drawn again.

import { computed, signal } from "@preact/signals";
import { alter, param, viewName } from "./address.ts";
import type { AlertList, Forwarded, Overview, Refusal, Rules } from "./contract.ts";
import type { Name } from "./logic/names.ts";
import { Latest, Samples } from "./logic/ring.ts";
import { type Cell, Store } from "./logic/store.ts";

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
export const link = signal<Link>({ state: "connecting" });
/** Whether a snapshot of the present query has arrived. */
export const settled = signal(false);
/** Grows when the present query is to be asked again. */
export const asked = signal(0);
export const refusal = signal<{ query: string; error: Refusal } | null>(null);
export const overview = signal<Overview | null>(null);
export const rules = signal<Rules | null>(null);
/** The open alerts, worst and oldest first as the server has them. */
export const alerts = signal<AlertList | null>(null);
export const said = signal<{ items: Latest<Forwarded>["items"]; total: number }>({ items: [], total: 0 });
export const paused = signal(false);
export const samples = new Samples(SPARK);
/** Once a second, so that ages and clocks move. */
export const tick = signal(Date.now());
/** When the grid was held still, by the server's clock; 0 while it moves. */
export const still = signal(0);
/** Grows a few times a second while the grid changes. */
export const changes = signal(0);
/** The server's clock minus ours, in milliseconds. */
export const skew = signal(0);
/** The stream under the pointer or the keyboard's focus, and where its cell is on the screen. */
export const pointed = signal<{ cell: Cell; box: DOMRect } | null>(null);

/** The query of the grid, the stream and the query view; empty means everything. */
export const query = param("q", "");
/** The query whose streams the page holds: other views keep the one that was there. */
export const storeQuery = computed(() =>
  viewName.value === "grid" || viewName.value === "query" ? query.value : "",
);

/** Puts another query into force. */
export function look(text: string): void {
  if (text === query.value) asked.value++;
  else query.set(text, true);
}

const openFlag = param("open", "", ["", "stream"]);
const openHost = param("host", "\0nil");
const openService = param("service", "\0nil");
const nameOf = (text: string): Name => (text === "\0nil" ? null : text);

/** The stream in the detail panel. */
export const opened = computed<{ host: Name; service: Name } | null>(() =>
  openFlag.value === "" ? null : { host: nameOf(openHost.value), service: nameOf(openService.value) },
);

/** Opens a stream beside whatever view is there. */
export function openStream(host: Name, service: Name): void {
  alter({ open: "stream", host, service }, opened.value === null);
}

export function closeStream(): void {
  alter({ open: null, host: null, service: null, wide: null });
}

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
