// The states of an event, how bad each is, and the shape that stands for it where colour does not reach.

import type { Event } from "../contract.ts";

export type State = "critical" | "warning" | "unknown" | "other" | "expired" | "ok" | "none";

/** From the worst to the best. */
export const STATES: readonly State[] = ["critical", "warning", "unknown", "other", "expired", "ok", "none"];

/** How bad a state is: 6 is the worst. */
export const SEVERITY: Readonly<Record<State, number>> = {
  critical: 6,
  warning: 5,
  unknown: 4,
  other: 3,
  expired: 2,
  ok: 1,
  none: 0,
};

/** Outlines on a grid of 16 by 16, filled by the even-odd rule. */
export const GLYPHS: Readonly<Record<State, string>> = {
  critical: "M4.2 1.4 8 5.2l3.8-3.8 2.8 2.8L10.8 8l3.8 3.8-2.8 2.8L8 10.8l-3.8 3.8-2.8-2.8L5.2 8 1.4 4.2Z",
  warning: "M8 1.2 15.4 14.4H.6ZM7.1 6v4.2h1.8V6ZM7.1 11.3v1.7h1.8v-1.7Z",
  unknown:
    "M8 1.2c-2.7 0-4.4 1.6-4.6 4h2.4c.1-1.2.9-1.9 2.1-1.9s2 .7 2 1.7c0 .9-.5 1.4-1.4 2C7.3 7.8 6.7 8.7 6.7 10v.6h2.3V10.1c0-.8.4-1.2 1.3-1.8 1.2-.8 2-1.8 2-3.4 0-2.2-1.8-3.7-4.3-3.7ZM6.5 12v2.8h2.7V12Z",
  other: "M8 .8 15.2 8 8 15.2.8 8ZM8 4 4 8l4 4 4-4Z",
  expired:
    "M8 1.2A6.8 6.8 0 1 1 8 14.8 6.8 6.8 0 0 1 8 1.2ZM8 3.2A4.8 4.8 0 1 0 8 12.8 4.8 4.8 0 0 0 8 3.2ZM7.2 4.5h1.6v3.2l2.2 1.5-.9 1.3L7.2 8.6Z",
  ok: "M13.2 2.8 15 4.6 6.6 13.2 1 8l1.7-1.9 3.8 3.5Z",
  none: "M8 5.2A2.8 2.8 0 1 1 8 10.8 2.8 2.8 0 0 1 8 5.2Z",
};

/** Which state an event is in. */
export function stateOf(event: Pick<Event, "state">): State {
  switch (event.state) {
    case "ok":
    case "warning":
    case "critical":
    case "unknown":
    case "expired":
      return event.state;
    case null:
    case undefined:
    case "":
      return "none";
    default:
      return "other";
  }
}
