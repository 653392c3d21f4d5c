// What changed between two values of JSON, path by path.

export interface Change {
  path: string;
  /** As JSON; undefined where there was nothing. */
  before: string | undefined;
  after: string | undefined;
}

/** Changes that are told; more are counted. */
export const MOST_CHANGES = 40;

/** How deep values are taken apart; what lies deeper is compared as a whole. */
const DEEPEST = 8;

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null;

const text = (value: unknown): string | undefined =>
  value === undefined ? undefined : JSON.stringify(value);

/** The changes from one value to another, at most `most`, and how many more there are. */
export function changes(
  before: unknown,
  after: unknown,
  most = MOST_CHANGES,
): { changes: Change[]; more: number } {
  const found: Change[] = [];
  let more = 0;
  const walk = (one: unknown, other: unknown, path: string, depth: number): void => {
    if (text(one) === text(other)) return;
    if (depth < DEEPEST && isObject(one) && isObject(other) && Array.isArray(one) === Array.isArray(other)) {
      const keys = new Set([...Object.keys(one), ...Object.keys(other)]);
      const step = (key: string) =>
        Array.isArray(one) ? `${path}[${key}]` : path === "" ? key : `${path}.${key}`;
      for (const key of keys) walk(one[key], other[key], step(key), depth + 1);
      return;
    }
    if (found.length < most) found.push({ path, before: text(one), after: text(other) });
    else more++;
  };
  walk(before ?? undefined, after ?? undefined, "", 0);
  return { changes: found, more };
}
