// How long to wait before another attempt.

/** The longest wait, in milliseconds. */
export const LONGEST_WAIT = 15_000;

/** The wait before attempt number `attempt` (from 1): doubling, and never the same for two pages. */
export function patience(attempt: number, chance: number = Math.random()): number {
  const full = Math.min(LONGEST_WAIT, 500 * 2 ** Math.min(attempt - 1, 10));
  return full * (0.7 + 0.3 * chance);
}
