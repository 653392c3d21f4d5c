// The connection: one stream of frames for the query in force, taken up again whenever it breaks.

import type { Event, Forwarded, Overview, Refusal, Rules } from "./contract.ts";
import { patience } from "./logic/patience.ts";
import {
  changes,
  hear,
  link,
  overview,
  refusal,
  rules,
  samples,
  settled,
  skew,
  sought,
  store,
  tick,
} from "./page.ts";

/** The overview comes every second; without any frame for this long the connection is dead, whatever the browser thinks. */
const SILENCE = 12_000;

/** How long the server may take to judge a query. */
const JUDGEMENT = 10_000;

/** A snapshot with nothing in it may be left out; after this long without one, the grid is empty. */
const NO_SNAPSHOT = 3_000;

/** An overview older than this is no sample for the sparkline. */
const STALE = 2_500;

const everything = "true";

const address = (path: string, query: string, more = "") =>
  new URL(
    `api/v1/${path}?q=${encodeURIComponent(query === "" ? everything : query)}${more}`,
    document.baseURI,
  );

type Judgement =
  | { verdict: "good" }
  | { verdict: "refused"; error: Refusal }
  | { verdict: "unreachable"; reason: string };

async function judge(query: string, signal: AbortSignal): Promise<Judgement> {
  try {
    const limit = AbortSignal.any([signal, AbortSignal.timeout(JUDGEMENT)]);
    const answer = await fetch(address("query", query, "&limit=1"), { signal: limit, cache: "no-store" });
    if (answer.ok) return { verdict: "good" };
    const body: unknown = await answer.json().catch(() => null);
    const error = (body as { error?: Refusal } | null)?.error;
    if (answer.status === 400)
      return { verdict: "refused", error: error ?? { message: "the server refuses this query" } };
    return { verdict: "unreachable", reason: error?.message ?? `the server answered with ${answer.status}` };
  } catch (error) {
    const late = error instanceof DOMException && error.name === "TimeoutError";
    return {
      verdict: "unreachable",
      reason: late ? "the server does not answer" : "the server cannot be reached",
    };
  }
}

let query = "";
/** The last query that the server took. */
let good = "";
let source: EventSource | null = null;
let trial: AbortController | null = null;
let retry = 0;
let attempt = 0;
let heard = 0;
let opened = 0;
let snapshot = false;
let overviewAt = 0;

/** Follows a query. One that the server refuses leaves the last good one in force. */
export async function follow(wanted: string): Promise<void> {
  trial?.abort();
  const mine = new AbortController();
  trial = mine;
  const judged = await judge(wanted, mine.signal);
  if (mine.signal.aborted) return;
  if (judged.verdict === "refused") {
    refusal.value = { query: wanted, error: judged.error };
    // With no good query before it, the page shows everything rather than nothing.
    if (source === null && retry === 0 && wanted !== "") await followAnyway("");
    return;
  }
  refusal.value = null;
  await followAnyway(wanted, judged);
}

async function followAnyway(wanted: string, judged: Judgement = { verdict: "good" }): Promise<void> {
  if (wanted !== query) settled.value = false;
  query = wanted;
  if (judged.verdict === "unreachable") lose(judged.reason);
  else open();
}

function open(): void {
  close();
  good = query;
  const stream = new EventSource(address("stream", query));
  source = stream;
  snapshot = false;
  opened = Date.now();
  heard = opened;
  const on = <T>(name: string, take: (data: T) => void) =>
    stream.addEventListener(name, (message) => {
      if (source !== stream) return;
      heard = Date.now();
      if (link.value.state !== "live") link.value = { state: "live" };
      take(JSON.parse((message as MessageEvent<string>).data) as T);
    });
  stream.onerror = () => {
    if (source === stream) lose("the connection broke");
  };
  on<{ events: Event[]; reset: boolean }>("snapshot", ({ events, reset }) => {
    if (reset) store.reset();
    store.apply(events, Date.now());
    begin();
  });
  on<{ events: Event[]; skipped?: number }>("delta", ({ events, skipped }) => {
    // Changes come after the snapshot, unless that was empty and left out.
    if (!snapshot) store.reset();
    begin();
    store.apply(events, Date.now());
    store.skipped += skipped ?? 0;
  });
  on<Overview>("overview", (news) => {
    overviewAt = heard;
    skew.value = Date.parse(news.now) - heard || 0;
    overview.value = news;
    attempt = 0;
    if (!snapshot && (news.index_size === 0 || heard - opened > NO_SNAPSHOT)) {
      store.reset();
      begin();
    }
  });
  on<Rules>("rules", (news) => {
    if (sought.value === "") rules.value = news;
  });
  on<{ items: Forwarded[] }>("forwarded", ({ items }) => hear(items));
}

function begin(): void {
  snapshot = true;
  settled.value = true;
}

function close(): void {
  clearTimeout(retry);
  retry = 0;
  source?.close();
  source = null;
}

function lose(reason: string): void {
  close();
  attempt++;
  const wait = patience(attempt);
  const since = link.value.state === "lost" ? link.value.since : Date.now();
  link.value = { state: "lost", since, next: Date.now() + wait, reason };
  retry = window.setTimeout(() => void again(), wait);
}

/** Tries at once. */
export async function again(): Promise<void> {
  close();
  trial?.abort();
  const mine = new AbortController();
  trial = mine;
  const judged = await judge(query, mine.signal);
  if (mine.signal.aborted) return;
  if (judged.verdict === "unreachable") {
    lose(judged.reason);
    return;
  }
  if (judged.verdict === "refused") {
    refusal.value = { query, error: judged.error };
    query = good;
  }
  open();
}

/** Rules that a search lists at most. */
const MOST_FOUND = 100;

let searching: AbortController | null = null;

/** Asks for the rules that are sought; the last question wins. */
async function search(): Promise<void> {
  searching?.abort();
  const text = sought.value;
  if (text === "") return;
  const mine = new AbortController();
  searching = mine;
  try {
    const path = `api/v1/rules?sort=activity&limit=${MOST_FOUND}&find=${encodeURIComponent(text)}`;
    const limit = AbortSignal.any([mine.signal, AbortSignal.timeout(JUDGEMENT)]);
    const answer = await fetch(new URL(path, document.baseURI), { signal: limit, cache: "no-store" });
    if (answer.ok) {
      const found = (await answer.json()) as Rules;
      if (!mine.signal.aborted) rules.value = found;
    }
  } catch {
    // The stream notices when the server is gone, and the next second asks again.
  }
}

/** Lists rules whose names hold this text. */
export function seek(text: string): void {
  sought.value = text;
  void search();
}

let drawn = -1;

/** Starts the page's own clocks. */
export function startClocks(): void {
  setInterval(() => {
    const now = Date.now();
    samples.push(now - overviewAt < STALE ? (overview.value?.events_per_second ?? Number.NaN) : Number.NaN);
    store.sweep(now);
    if (source !== null && now - heard > SILENCE) lose("nothing was heard for 12 s");
    tick.value = now;
    if (link.value.state === "live") void search();
  }, 1_000);
  setInterval(() => {
    if (drawn === store.version) return;
    drawn = store.version;
    changes.value++;
  }, 150);
  addEventListener("online", () => {
    if (link.value.state === "lost") void again();
  });
}
