// What the server sends about one alert, and about silences.

import type { Alert, Event } from "../contract.ts";

export interface AlertInFull extends Alert {
  history: { at: string; what: string; by: string | null; note: string | null; event: Event | null }[];
  why: {
    rule: string;
    version: string;
    generation: number;
    before: unknown;
    after: unknown;
    events: Event[];
  } | null;
}

export interface Silence {
  id: string;
  query: string;
  reason: string;
  by: string;
  from: string;
  until: string;
  /** Alerts that it has kept quiet. */
  matched: number;
  expired: boolean;
}
