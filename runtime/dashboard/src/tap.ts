// Listening to events as they come, for as long as the stream view is there.

import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { Failed, listen } from "./api.ts";
import type { Tapped } from "./contract.ts";
import { patience } from "./logic/patience.ts";
import { Tail } from "./logic/tail.ts";
import { refusal } from "./page.ts";

/** Milliseconds between two pictures of the list. */
const FRAME = 200;

export const tail = new Tail();
/** Grows when there is something new to show. */
export const tailed = signal(0);
export const held = signal(false);
/** Why nothing comes; empty while all is well. */
export const trouble = signal("");

export function hold(stop: boolean): void {
  held.value = stop;
  if (!stop && tail.flush()) tailed.value++;
}

async function follow(query: string, rate: number, stop: AbortSignal): Promise<void> {
  for (let attempt = 1; !stop.aborted; attempt++) {
    try {
      await listen("tap", {
        query: { q: query === "" ? "true" : query, rate, positions: true },
        signal: stop,
        onOpen: () => {
          attempt = 0;
          trouble.value = "";
          refusal.value = null;
        },
        onMessage: (name, data) => {
          if (name === "skipped") tail.skip((data as { skipped: number }).skipped, Date.now());
          else tail.add(data as Tapped, Date.now());
        },
      });
    } catch (error) {
      if (stop.aborted) return;
      if (!(error instanceof Failed)) throw error;
      if (error.refused) {
        refusal.value = { query, error: error.refusal };
        return;
      }
      trouble.value = error.message;
    }
    tail.breaks();
    await new Promise((done) => setTimeout(done, patience(attempt)));
  }
}

/** Keeps the tail of what matches a query, at most `rate` a second. */
export function useTap(query: string, rate: number): void {
  useEffect(() => {
    const stop = new AbortController();
    tail.clear();
    tailed.value++;
    void follow(query, rate, stop.signal);
    const frames = setInterval(() => {
      if (!held.value && tail.flush()) tailed.value++;
    }, FRAME);
    return () => {
      stop.abort();
      clearInterval(frames);
      refusal.value = null;
      trouble.value = "";
    };
  }, [query, rate]);
}
