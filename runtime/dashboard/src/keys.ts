// The keyboard: every key is registered with what it does, and the help is made of what is registered.

import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { type Group, Keys } from "./logic/keys.ts";

const keys = new Keys();

/** The groups that are registered now. */
export const groups = signal<readonly Group[]>([]);
/** The first key of a sequence that waits for its second. */
export const pending = signal("");

/** Registers keys; the answer takes them out again. */
export function register(group: Group): () => void {
  const remove = keys.add(group);
  groups.value = keys.all();
  return () => {
    remove();
    groups.value = keys.all();
  };
}

/** The keys of a part of the page, as long as that is there. */
export function useKeys(name: string, bindings: Group["bindings"]): void {
  useEffect(() => register({ name, bindings }), []);
}

function named(event: KeyboardEvent): string {
  return `${event.ctrlKey ? "Ctrl+" : ""}${event.altKey ? "Alt+" : ""}${event.key}`;
}

function onKey(event: KeyboardEvent): void {
  if (event.metaKey || event.defaultPrevented || event.isComposing) return;
  const target = event.target as HTMLElement;
  if (document.querySelector("dialog[open]") !== null) return;
  if (target.closest("input, textarea, select, [contenteditable]") !== null) return;
  // A button takes the space bar and Enter for itself; one in a list that moves leaves the space bar to the list.
  const button = target.closest("button, summary, a");
  if (button !== null && event.key === "Enter") return;
  if (button !== null && event.key === " " && button.closest("[data-space]") === null) return;
  const now = performance.now();
  const meant = keys.press(named(event), now);
  pending.value = keys.pending(now);
  if (meant === "unknown") return;
  event.preventDefault();
  if (meant !== "pending") meant.act();
  else setTimeout(() => (pending.value = keys.pending(performance.now())), 1_600);
}

addEventListener("keydown", onKey);
