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
  critical:
    "M4.2 1.4 8 5.2l3.8-3.8 2.8 2.8L10.800 8l3.8 3.800-2.8 2.8L8 10.800l-3.800 3.800-2.800-2.800L5.200 8 1.400 4.200Z",
  warning: "M8 1.200 15.400 14.400H.6ZM7.100 6v4.200h1.800V6ZM7.100 11.300v1.700h1.800v-1.700Z",
  unknown:
    "M8 1.200c-2.700 0-4.400 1.600-4.600 4h2.400c.1-1.200.9-1.900 2.100-1.900s2 .7 2 1.700c0 .9-.5 1.400-1.400 2C7.300 7.800 6.700 8.700 6.700 10v.6h2.300V10.100c0-.8.4-1.200 1.300-1.800 1.200-.8 2-1.800 2-3.400 0-2.200-1.800-3.700-4.300-3.700ZM6.500 12v2.800h2.700V12Z",
  other: "M8 .8 15.200 8 8 15.200.8 8ZM8 4 4 8l4 4 4-4Z",
  expired:
    "M8 1.200A6.800 6.800 0 1 1 8 14.800 6.800 6.800 0 0 1 8 1.200ZM8 3.200A4.800 4.800 0 1 0 8 12.800 4.800 4.800 0 0 0 8 3.200ZM7.200 4.500h1.600v3.200l2.200 1.500-.9 1.300L7.200 8.600Z",
  ok: "M13.200 2.800 15 4.600 6.600 13.200 1 8l1.700-1.900 3.800 3.500Z",
  none: "M8 5.200A2.800 2.800 0 1 1 8 10.800 2.800 2.800 0 0 1 8 5.200Z",
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
