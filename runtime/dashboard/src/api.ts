// Asking the server: JSON there and back, refusals as errors that say where a query is wrong, and streams that resume.

import { signal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Refusal } from "./contract.ts";
import { Parser } from "./logic/sse.ts";

/** How long an answer may take, in milliseconds. */
const PATIENCE = 10_000;

export type Query = Readonly<Record<string, string | number | boolean | null | undefined>>;

/** Why there is no answer. */
export class Failed extends Error {
  constructor(
    message: string,
    /** The status of the answer; 0 when there was none. */
    readonly status: number,
    /** The error as the server told it. */
    readonly refusal: Refusal,
  ) {
    super(message);
  }

  /** The server understood, and said no: asking again would be no use. */
  get refused(): boolean {
    return this.status >= 400 && this.status < 500;
  }
}

/** Where something is, relative to the page. */
export function urlOf(path: string, query: Query = {}): URL {
  const url = new URL(`api/v1/${path}`, document.baseURI);
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined) url.searchParams.set(name, String(value));
  }
  return url;
}

const KEY = "tidegate.by";
const TOKEN = "tidegate.token";

function remembered(store: () => Storage, key: string): string {
  try {
    return store().getItem(key) ?? "";
  } catch {
    return "";
  }
}

/** What this node wants before it changes anything; kept until the browser is closed. */
let token = remembered(() => sessionStorage, TOKEN);

/** Whether a change was refused for want of the token. */
export const locked = signal(false);

/** From now on changes come with this token. */
export function unlock(text: string): void {
  token = text;
  locked.value = false;
  try {
    sessionStorage.setItem(TOKEN, text);
  } catch {
    // Then it lasts as long as the page.
  }
}

/** Who sits before this page; said with each change. */
export const by = signal(remembered(() => localStorage, KEY));

export function sign(name: string): void {
  by.value = name;
  try {
    localStorage.setItem(KEY, name);
  } catch {
    // Storage may be forbidden; then the name lasts as long as the page.
  }
}

/** A header carries only plain letters: of others the letter below the accent is left. */
const plain = (text: string): string =>
  text
    .normalize("NFKD")
    .replace(/\p{M}/gu, "")
    .replace(/[^\x20-\x7e]/gu, "?")
    .slice(0, 256);

async function failed(answer: Response): Promise<Failed> {
  const body: unknown = await answer.json().catch(() => null);
  const refusal = (body as { error?: Refusal } | null)?.error ?? {
    message: `the server answered with ${answer.status}`,
  };
  return new Failed(refusal.message, answer.status, refusal);
}

function unreachable(error: unknown): Failed {
  const late = error instanceof DOMException && error.name === "TimeoutError";
  const message = late ? "the server does not answer" : "the server cannot be reached";
  return new Failed(message, 0, { message });
}

async function ask(url: URL, init: RequestInit, patience: number, signal?: AbortSignal): Promise<Response> {
  const limit = AbortSignal.timeout(patience);
  let answer: Response;
  try {
    answer = await fetch(url, {
      cache: "no-store",
      ...init,
      signal: signal === undefined ? limit : AbortSignal.any([signal, limit]),
    });
  } catch (error) {
    if (signal?.aborted === true) throw error;
    throw unreachable(error);
  }
  if (!answer.ok) throw await failed(answer);
  return answer;
}

export interface Asking {
  query?: Query;
  /** Beside those that a change has anyway. */
  headers?: Readonly<Record<string, string>>;
  signal?: AbortSignal;
  patience?: number;
}

/** `GET` of JSON. Throws `Failed`, or what aborting throws. */
export async function get<T>(path: string, { query, signal, patience = PATIENCE }: Asking = {}): Promise<T> {
  const answer = await ask(urlOf(path, query), {}, patience, signal);
  return (await answer.json()) as T;
}

/** A change: JSON or bytes out, JSON back (null where the answer is empty). */
export async function send<T>(
  method: "POST" | "PUT" | "DELETE",
  path: string,
  body?: unknown,
  { query, headers: more, signal, patience = PATIENCE }: Asking = {},
): Promise<T | null> {
  const headers: Record<string, string> = { ...more };
  if (by.value !== "") headers["x-tidegate-by"] = plain(by.value);
  if (token !== "") headers.authorization = `Bearer ${plain(token)}`;
  let bytes: BodyInit | null = null;
  if (body instanceof Blob || body instanceof ArrayBuffer || body instanceof Uint8Array) {
    headers["content-type"] = "application/wasm";
    bytes = body as BodyInit;
  } else if (body !== undefined) {
    headers["content-type"] = "application/json";
    bytes = JSON.stringify(body);
  }
  let answer: Response;
  try {
    answer = await ask(urlOf(path, query), { method, headers, body: bytes }, patience, signal);
  } catch (error) {
    if (error instanceof Failed && error.status === 401) locked.value = true;
    throw error;
  }
  const text = await answer.text();
  return text === "" ? null : (JSON.parse(text) as T);
}

export interface Listening {
  query?: Query;
  signal: AbortSignal;
  /** The id of the last message that was heard; the server then sends only what is newer. */
  last?: string;
  /** The server took the request. */
  onOpen?: () => void;
  onMessage: (name: string, data: unknown) => void;
  /** Called after each chunk with the id to resume from. */
  onHeard?: (last: string) => void;
}

/** Listens to a stream of messages until the server ends it. Throws `Failed` when it refuses or breaks off. */
export async function listen(path: string, { query, signal, last = "", ...on }: Listening): Promise<void> {
  const opening = new AbortController();
  const late = setTimeout(() => opening.abort(new DOMException("no answer", "TimeoutError")), PATIENCE);
  const parser = new Parser();
  parser.last = last;
  try {
    const headers: Record<string, string> = { accept: "text/event-stream" };
    if (last !== "") headers["last-event-id"] = last;
    const answer = await fetch(urlOf(path, query), {
      headers,
      cache: "no-store",
      signal: AbortSignal.any([signal, opening.signal]),
    });
    clearTimeout(late);
    if (!answer.ok) throw await failed(answer);
    on.onOpen?.();
    const text = answer.body?.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const chunk = await text?.read();
      if (chunk === undefined || chunk.done) return;
      for (const { name, data } of parser.take(chunk.value)) on.onMessage(name, JSON.parse(data));
      on.onHeard?.(parser.last);
    }
  } catch (error) {
    if (signal.aborted || error instanceof Failed) throw error;
    throw unreachable(opening.signal.aborted ? opening.signal.reason : error);
  } finally {
    clearTimeout(late);
  }
}

export interface Answer<T> {
  data: T | null;
  error: Failed | null;
  /** Asks once more, at once. */
  again: () => void;
}

/** Keeps the answer to a question at hand: asked when it changes, and every so many milliseconds. Null asks nothing. */
export function useGet<T>(path: string | null, query: Query = {}, every = 0): Answer<T> {
  const [answer, setAnswer] = useState<Omit<Answer<T>, "again">>({ data: null, error: null });
  const [turn, setTurn] = useState(0);
  const key = path === null ? "" : urlOf(path, query).href;
  const asked = useRef("");
  useEffect(() => {
    if (path === null) {
      setAnswer({ data: null, error: null });
      return;
    }
    if (asked.current !== key) setAnswer({ data: null, error: null });
    asked.current = key;
    const stop = new AbortController();
    let timer = 0;
    const once = async () => {
      try {
        const data = await get<T>(path, { query, signal: stop.signal });
        if (!stop.signal.aborted) setAnswer({ data, error: null });
      } catch (error) {
        // What was known stays on the screen while the server is away.
        if (error instanceof Failed && !stop.signal.aborted) setAnswer(({ data }) => ({ data, error }));
      }
      if (every > 0 && !stop.signal.aborted) timer = window.setTimeout(() => void once(), every);
    };
    void once();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [key, every, turn]);
  return { ...answer, again: () => setTurn((n) => n + 1) };
}
