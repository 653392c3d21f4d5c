// The address as signals: views read it, and write it by what people do. Nothing else remembers what is looked at.

import { computed, type ReadonlySignal, signal } from "@preact/signals";
import { type Address, changed, moved, read, type ViewName, written } from "./logic/address.ts";

export const address = signal<Address>(read(location.hash));

/** The view in the address. */
export const viewName: ReadonlySignal<ViewName> = computed(() => address.value.view);

function set(next: Address, step: boolean): void {
  const hash = written(next);
  if (hash === written(address.value)) return;
  address.value = next;
  if (step) history.pushState(null, "", hash);
  else history.replaceState(null, "", hash);
}

/** Goes to a view; the time span, the theme and, among views of streams, the query go along. */
export function go(view: ViewName, changes: Readonly<Record<string, string | null>> = {}): void {
  set(moved(address.value, view, changes), true);
}

/** Where `go` would go, for links. */
export function hrefOf(view: ViewName, changes: Readonly<Record<string, string | null>> = {}): string {
  return written(moved(address.value, view, changes));
}

/** Changes values of this view's address; null takes one out. With `step`, "back" takes it back. */
export function alter(changes: Readonly<Record<string, string | null>>, step = false): void {
  set(changed(address.value, changes), step);
}

/** Goes to a whole address, such as that of a saved view. */
export function visit(hash: string): void {
  set(read(hash), true);
}

/** One value of the address, with what it is when the address does not say. */
export interface Param<T extends string = string> {
  readonly name: string;
  readonly value: T;
  set(value: T, step?: boolean): void;
}

/** A value of the address. With `words`, any other text is as usual. */
export function param(name: string, usual: string): Param;
export function param<T extends string>(name: string, usual: T, words: readonly T[]): Param<T>;
export function param<T extends string>(name: string, usual: T, words?: readonly T[]): Param<T> {
  const at = computed(() => {
    const value = address.value.params[name] as T | undefined;
    return value === undefined || (words !== undefined && !words.includes(value)) ? usual : value;
  });
  return {
    name,
    get value() {
      return at.value;
    },
    set(value, step = false) {
      alter({ [name]: value === usual ? null : value }, step);
    },
  };
}

/** A yes or no of the address. */
export function flag(name: string): { readonly value: boolean; set(on: boolean, step?: boolean): void } {
  const at = param(name, "", ["", "1"]);
  return {
    get value() {
      return at.value === "1";
    },
    set(on, step = false) {
      at.set(on ? "1" : "", step);
    },
  };
}

const follow = (): void => {
  const next = read(location.hash);
  if (written(next) !== written(address.value)) address.value = next;
};
addEventListener("popstate", follow);
addEventListener("hashchange", follow);
