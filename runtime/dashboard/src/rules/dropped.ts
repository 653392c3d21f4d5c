// The module that somebody dropped onto the page or chose, until it is deployed or put away.

import { signal } from "@preact/signals";
import { go } from "../address.ts";
import { bytes as sized } from "../logic/format.ts";
import { clean } from "../logic/names.ts";
import { notify } from "../parts/notice.tsx";

export interface Dropped {
  file: string;
  bytes: Uint8Array;
  /** Grows with each, so that a file that is dropped again begins anew. */
  number: number;
}

export const dropped = signal<Dropped | null>(null);

/** What the server takes at most. */
const MOST = 4 << 20;

let count = 0;

/** Reads a file, and opens it in the rules view. A wrong one is refused before anything is sent. */
export async function take(files: FileList | null): Promise<void> {
  const file = files?.[0];
  if (file === undefined) return;
  const name = clean(file.name, 80);
  if ((files?.length ?? 0) > 1) return notify("one module at a time, please", true);
  if (file.size > MOST)
    return notify(`${name} has ${sized(file.size)}; a module has ${sized(MOST)} at most`, true);
  const bytes = new Uint8Array(await file.arrayBuffer());
  if (bytes[0] !== 0 || bytes[1] !== 0x61 || bytes[2] !== 0x73 || bytes[3] !== 0x6d)
    return notify(`${name} is not a WebAssembly module: it begins otherwise`, true);
  dropped.value = { file: name, bytes, number: count++ };
  go("rules", { rule: null, tab: null });
}
