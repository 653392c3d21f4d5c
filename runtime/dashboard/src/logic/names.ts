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

/** What all names begin and end with, as far as it is worth leaving out. */
export interface Common {
  prefix: string;
  suffix: string;
}

const SEPARATOR = /[\s.\-_/:]/u;

/** What a shared end begins with: that of a domain. In `web-1` and `db-1` the number is no common matter. */
const DOMAIN = ".";

/** Fewer characters than this are not worth a cut. */
const WORTH = 3;

/** Finds what names share. A prefix ends at a separator, a suffix begins at a dot, and both leave something of every name. */
export function common(names: readonly Name[]): Common {
  const given = names.filter((name): name is string => name !== null);
  const [first] = given;
  if (first === undefined || given.length < 2) return { prefix: "", suffix: "" };
  let ahead = Math.min(first.length, LONGEST);
  let behind = Math.min(first.length, LONGEST);
  let shortest = first.length;
  for (const name of given) {
    shortest = Math.min(shortest, name.length);
    ahead = Math.min(ahead, name.length);
    behind = Math.min(behind, name.length);
    let n = 0;
    while (n < ahead && name[n] === first[n]) n++;
    ahead = n;
    n = 0;
    while (n < behind && name[name.length - 1 - n] === first[first.length - 1 - n]) n++;
    behind = n;
  }
  while (ahead > 0 && (ahead >= shortest || !SEPARATOR.test(first[ahead - 1] ?? ""))) ahead--;
  if (ahead < WORTH) ahead = 0;
  while (behind > 0 && (ahead + behind >= shortest || first[first.length - behind] !== DOMAIN)) behind--;
  if (behind < WORTH) behind = 0;
  return { prefix: first.slice(0, ahead), suffix: first.slice(first.length - behind) };
}

/** A name without what all share. */
export function shortened(name: Name, { prefix, suffix }: Common): string {
  if (name === null || (prefix === "" && suffix === "")) return shown(name);
  return shown(name.slice(prefix.length, name.length - suffix.length));
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
