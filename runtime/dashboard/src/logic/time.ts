// Spans of time as the address and the server write them: `-15m`, `-1h`, `now`, or a moment in ISO 8601.

const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 };

/** The moment that a text means, in milliseconds; NaN when it means none. */
export function moment(text: string, now: number): number {
  if (text === "now" || text === "") return now;
  const relative = /^-(\d{1,6})([smhd])$/u.exec(text);
  if (relative !== null) return now - Number(relative[1]) * (UNITS[relative[2] ?? ""] ?? Number.NaN) * 1000;
  // Without a zone the browser would take it for local time.
  return /^\d{4}-\d{2}-\d{2}T[\d:.]+(?:Z|[+-]\d{2}:\d{2})$/u.test(text) ? Date.parse(text) : Number.NaN;
}

/** Whether a text means a moment. */
export const isMoment = (text: string): boolean => !Number.isNaN(moment(text, 0));

/** A moment as `datetime-local` fields write it, in UTC. */
export function fieldOf(at: number): string {
  return Number.isFinite(at) ? new Date(at).toISOString().slice(0, 16) : "";
}

/** A moment from a `datetime-local` field, in UTC. */
export function ofField(text: string): string {
  return text === "" ? "" : `${text}${text.length === 16 ? ":00" : ""}Z`;
}
