// Names as a person can read them. They come from whoever sends events, so nothing in them is trusted.

/** A host or a service; null when the event has none. */
export type Name = string | null;

/** The longest name that is looked at; the rest is cut. */
const LONGEST = 300;

/** The longest text that is shown whole in a detail. */
const LONGEST_TEXT = 10_000;

// What would draw over its neighbours or turn them round: controls, direction marks, invisible characters.
const UNSEEN =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: finding them is the purpose
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]/gu;
const PILED_MARKS = /(\p{M}{3})\p{M}+/gu;
const LONE_SURROGATES = /[\ud800-\udfff]/gu;

/** One line of text without characters that act on what stands around them. */
export function clean(text: string, longest = LONGEST): string {
  const cut = text.length > longest ? `${text.slice(0, longest)}…` : text;
  return cut
    .replace(UNSEEN, "\ufffd")
    .replace(LONE_SURROGATES, "\ufffd")
    .replace(PILED_MARKS, "$1")
    .replace(/[\n\t]+/gu, " ");
}

/** A longer text, with its line breaks. */
export function cleanText(text: string): string {
  return text
    .slice(0, LONGEST_TEXT)
    .split("\n")
    .map((line) => clean(line, LONGEST_TEXT))
    .join("\n");
}

/** A name for a label. */
export function shown(name: Name): string {
  if (name === null) return "(none)";
  return name === "" ? "(empty)" : clean(name);
}

const natural = new Intl.Collator("en", { numeric: true });

/** Orders names as people do (web-2 before web-10), the missing one last. */
export function byName(a: Name, b: Name): number {
  if (a === null || b === null) return a === b ? 0 : a === null ? 1 : -1;
  return natural.compare(a, b) || (a < b ? -1 : a > b ? 1 : 0);
}

/** What most names begin and end with, as far as it is worth leaving out. */
export interface Common {
  prefix: string;
  suffix: string;
}

const NOTHING: Common = { prefix: "", suffix: "" };

const SEPARATOR = /[\s.\-_/:]/u;

/** What a shared end begins with: that of a domain. In `web-1` and `db-1` the number is no common matter. */
const DOMAIN = ".";

/** Fewer characters than this are not worth a cut. */
const WORTH = 3;

/** Which part of all names must share what is cut; the others are shown whole. */
const MOST = 0.75;

/** Names that are looked at to find what may be shared, and places in each of them. */
const SAMPLE = 2_000;
const PLACES = 12;

function ends(name: string, side: "prefix" | "suffix"): string[] {
  const found: string[] = [];
  const length = Math.min(name.length, LONGEST);
  for (let n = 1; n < length && found.length < PLACES; n++) {
    if (side === "prefix" && n >= WORTH && SEPARATOR.test(name[n - 1] ?? "")) found.push(name.slice(0, n));
    if (side === "suffix" && name.length - n >= WORTH && name[n] === DOMAIN) found.push(name.slice(n));
  }
  return found;
}

function shared(names: readonly string[], side: "prefix" | "suffix"): string {
  const step = Math.max(1, Math.floor(names.length / SAMPLE));
  const counts = new Map<string, number>();
  let looked = 0;
  for (let n = 0; n < names.length; n += step) {
    looked++;
    for (const end of ends(names[n] ?? "", side)) counts.set(end, (counts.get(end) ?? 0) + 1);
  }
  let best = "";
  for (const [end, count] of counts) {
    if (count >= Math.max(2, MOST * looked) && end.length > best.length) best = end;
  }
  return best;
}

function cut(name: string, { prefix, suffix }: Common): string {
  const start = name.startsWith(prefix) && name.length > prefix.length ? prefix.length : 0;
  const end =
    name.endsWith(suffix) && name.length > start + suffix.length ? name.length - suffix.length : name.length;
  return name.slice(start, end);
}

/** Finds what most names share. A prefix ends at a separator and a suffix begins at a dot; cut names stay different. */
export function common(names: readonly Name[]): Common {
  const given = names.filter((name): name is string => name !== null);
  if (given.length < 2) return NOTHING;
  const found = { prefix: shared(given, "prefix"), suffix: shared(given, "suffix") };
  if (found.prefix === "" && found.suffix === "") return NOTHING;
  return new Set(given.map((name) => cut(name, found))).size === given.length ? found : NOTHING;
}

/** A name without what most share. */
export function shortened(name: Name, common: Common): string {
  return shown(name === null ? null : cut(name, common));
}

/** The same text in at most `room` units of width, with the middle left out: both ends of a name tell things apart. */
export function fitted(text: string, room: number, width: (text: string) => number): string {
  if (width(text) <= room) return text;
  const letters = [...text];
  let fits = 0;
  let tooMany = letters.length;
  const cut = (keep: number) =>
    `${letters.slice(0, Math.ceil(keep / 2)).join("")}…${letters.slice(letters.length - Math.floor(keep / 2)).join("")}`;
  while (tooMany - fits > 1) {
    const middle = (fits + tooMany) >> 1;
    if (width(cut(middle)) <= room) fits = middle;
    else tooMany = middle;
  }
  return fits === 0 ? (width("…") <= room ? "…" : "") : cut(fits);
}

/** A name in two lines, broken at the separator that makes the wider one narrowest; in one if it has none. */
export function wrapped(name: string, width: (text: string) => number): string[] {
  let best = [name];
  let least = Number.POSITIVE_INFINITY;
  for (let n = 1; n < Math.min(name.length - 1, LONGEST); n++) {
    if (!SEPARATOR.test(name[n] ?? "")) continue;
    const lines = [name.slice(0, n + 1).trimEnd(), name.slice(n + 1)];
    const wider = Math.max(...lines.map(width));
    if (wider <= least) [best, least] = [lines, wider];
  }
  return best;
}
