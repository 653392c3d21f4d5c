// Where an error is: the server counts bytes, the browser counts UTF-16 units.

const encoder = new TextEncoder();

/** The place in `text` that `bytes` bytes of UTF-8 reach; the start of a letter that they cut through. */
export function unitAt(text: string, bytes: number): number {
  let seen = 0;
  let units = 0;
  for (const letter of text) {
    seen += encoder.encode(letter).length;
    if (seen > bytes) return units;
    units += letter.length;
  }
  return units;
}

/** A text in three parts: before the span, in it, after it. */
export function split(text: string, span: readonly [number, number] | undefined): [string, string, string] {
  if (span === undefined) return [text, "", ""];
  const start = unitAt(text, span[0]);
  const end = Math.max(start, unitAt(text, span[1]));
  return [text.slice(0, start), text.slice(start, end), text.slice(end)];
}

/** How many bytes of UTF-8 stand before a place in a text. */
export function bytesAt(text: string, units: number): number {
  return encoder.encode(text.slice(0, units)).length;
}
