// The connection: one stream of frames for the query in force, taken up again where it broke off.

import { computed, effect, untracked } from "@preact/signals";
import { viewName } from "./address.ts";
import { Failed, listen } from "./api.ts";
import type { AlertList, Event, Forwarded, Overview, Rules } from "./contract.ts";
import type { ViewName } from "./logic/address.ts";
import { patience } from "./logic/patience.ts";
import {
  alerts,
  asked,
  changes,
  hear,
  link,
  overview,
  refusal,
  rules,
  samples,
  settled,
  skew,
  still,
  store,
  storeQuery,
  tick,
} from "./page.ts";

/** The overview comes every second; without any frame for this long the connection is dead, whatever the browser thinks. */
const SILENCE = 12_000;

/** A snapshot with nothing in it may be left out; after this long without one, the grid is empty. */
const NO_SNAPSHOT = 3_000;

/** An overview older than this is no sample for the sparkline. */
const STALE = 2_500;

/** Frames that every view wants. */
const ALWAYS = "overview,rules,alerts,forwarded";

/** Views that show streams one by one. */
const WITH_STREAMS: readonly ViewName[] = ["grid", "query"];

/** What is asked of the server. */
interface Wish {
  query: string;
  frames: string;
}

const wish = computed<Wish>(() => ({
  query: storeQuery.value,
  frames: WITH_STREAMS.includes(viewName.value) ? `snapshot,delta,${ALWAYS}` : ALWAYS,
}));

const same = (one: Wish | null, other: Wish) =>
  one !== null && one.query === other.query && one.frames === other.frames;

interface Connection {
  wish: Wish;
  stop: AbortController;
  /** Whether a frame with streams has come. */
  begun: boolean;
  opened: number;
}

/** The connection that frames are taken from. */
let current: Connection | null = null;
/** The one that is being tried. */
let trial: Connection | null = null;
/** What the id of the last message belongs to. */
let last = { wish: null as Wish | null, id: "" };
/** Whether something came while the grid was held still. */
let passed = false;
/** The last query that the server took. */
let good = "";
let retry = 0;
let attempt = 0;
let heard = 0;
let overviewAt = 0;

/** Follows a wish. A query that the server refuses leaves the last good one in force. */
async function follow(wanted: Wish): Promise<void> {
  clearTimeout(retry);
  retry = 0;
  trial?.stop.abort();
  const mine: Connection = { wish: wanted, stop: new AbortController(), begun: false, opened: 0 };
  trial = mine;
  if (!same(last.wish, wanted)) {
    last = { wish: null, id: "" };
    if (wanted.frames !== ALWAYS) settled.value = false;
    // What nobody keeps up to date is not to be taken for what is so.
    else store.reset();
  }
  try {
    await listen("stream", {
      query: { q: wanted.query === "" ? "true" : wanted.query, frames: wanted.frames },
      last: last.id,
      signal: mine.stop.signal,
      onOpen: () => begin(mine),
      onMessage: (name, data) => take(mine, name, data),
      onHeard: (id) => {
        last = { wish: wanted, id };
      },
    });
    if (!mine.stop.signal.aborted) lose(mine, "the server ended the connection");
  } catch (error) {
    if (mine.stop.signal.aborted) return;
    if (error instanceof Failed && error.refused) refuse(mine, error);
    else lose(mine, current === mine ? "the connection broke" : (error as Error).message);
  }
}

function begin(mine: Connection): void {
  if (current !== mine) current?.stop.abort();
  current = mine;
  good = mine.wish.query;
  trial = null;
  mine.opened = Date.now();
  heard = mine.opened;
  if (refusal.value?.query !== wish.peek().query) refusal.value = null;
}

function refuse(mine: Connection, error: Failed): void {
  trial = null;
  if (error.refusal.span === undefined) {
    lose(mine, error.message);
    return;
  }
  refusal.value = { query: mine.wish.query, error: error.refusal };
  settled.value = current !== null;
  // With no connection that goes on, the page shows the last good query, or everything, rather than nothing.
  if (current === null && mine.wish.query !== good) void follow({ ...mine.wish, query: good });
}

function lose(mine: Connection, reason: string): void {
  if (current === mine) current = null;
  if (trial === mine) trial = null;
  mine.stop.abort();
  attempt++;
  const wait = patience(attempt);
  const since = link.value.state === "lost" ? link.value.since : Date.now();
  link.value = { state: "lost", since, next: Date.now() + wait, reason };
  clearTimeout(retry);
  retry = window.setTimeout(() => void follow(wish.peek()), wait);
}

/** Tries at once. */
export function again(): void {
  void follow(wish.peek());
}

function settle(mine: Connection): void {
  mine.begun = true;
  settled.value = true;
}

/** Whether what comes is not to be shown. A grid that goes on begins afresh. */
function isStill(mine: Connection): boolean {
  if (still.value === 0 || !settled.value) return false;
  mine.begun = true;
  passed = true;
  return true;
}

const FRAMES: Readonly<Record<string, (data: never, mine: Connection) => void>> = {
  snapshot({ events, reset }: { events: Event[]; reset: boolean }, mine) {
    if (isStill(mine)) return;
    if (reset) store.reset();
    store.apply(events, Date.now());
    settle(mine);
  },
  delta({ events, skipped }: { events: Event[]; skipped?: number }, mine) {
    if (isStill(mine)) return;
    // Changes come after the snapshot, unless that was empty and left out, or this goes on where another broke off.
    if (!mine.begun && !settled.value) store.reset();
    settle(mine);
    store.apply(events, Date.now());
    store.skipped += skipped ?? 0;
  },
  overview(news: Overview, mine) {
    overviewAt = heard;
    skew.value = Date.parse(news.now) - heard || 0;
    overview.value = news;
    attempt = 0;
    if (mine.begun || settled.value || mine.wish.frames === ALWAYS) return;
    if (news.index_size === 0 || heard - mine.opened > NO_SNAPSHOT) {
      store.reset();
      settle(mine);
    }
  },
  rules(news: Rules) {
    rules.value = news;
  },
  alerts(news: AlertList) {
    alerts.value = news;
  },
  forwarded({ items }: { items: Forwarded[] }) {
    hear(items);
  },
};

function take(mine: Connection, name: string, data: unknown): void {
  if (current !== mine) return;
  heard = Date.now();
  if (link.value.state !== "live") link.value = { state: "live" };
  FRAMES[name]?.(data as never, mine);
}

let drawn = -1;

/** Connects, and starts the page's own clocks. */
export function start(): void {
  let before: Wish | null = null;
  effect(() => {
    void asked.value;
    const wanted = wish.value;
    const again = untracked(() => refusal.value !== null || !same(before, wanted) || current === null);
    before = wanted;
    if (again) untracked(() => void follow(wanted));
  });
  effect(() => {
    if (still.value > 0 || !passed) return;
    passed = false;
    last = { wish: null, id: "" };
    untracked(() => void follow(wish.peek()));
  });
  effect(() => {
    // Another question, or another view, is no longer what was held.
    void wish.value;
    still.value = 0;
  });
  setInterval(() => {
    const now = Date.now();
    samples.push(now - overviewAt < STALE ? (overview.value?.events_per_second ?? Number.NaN) : Number.NaN);
    if (still.value === 0) store.sweep(now);
    if (current !== null && now - heard > SILENCE) lose(current, "nothing was heard for 12 s");
    tick.value = now;
  }, 1_000);
  setInterval(() => {
    if (drawn === store.version) return;
    drawn = store.version;
    changes.value++;
  }, 150);
  addEventListener("online", () => {
    if (link.value.state === "lost") again();
  });
}
