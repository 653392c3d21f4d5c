// The streams that the page knows: the latest event of each, and when to let go of it.

import type { Event } from "../contract.ts";
import type { Name } from "./names.ts";
import { type State, stateOf } from "./state.ts";

/** The latest event of one stream. */
export interface Cell {
  readonly host: Name;
  readonly service: Name;
  event: Event;
  state: State;
  /** The event's own time, in milliseconds; the time of arrival when it has none. */
  at: number;
  /** How long the event is good for, in milliseconds. */
  ttl: number;
  /** When its state last changed before our eyes; 0 if it has not. */
  changed: number;
  /** When we heard that it expired, or no longer matches the query; 0 while it is one of the query's streams. */
  gone: number;
}

/** Streams that are kept; news of more are counted and otherwise ignored. */
export const MOST_CELLS = 20_000;

/** How long a stream is still shown that has expired or left the query, in milliseconds. */
export const FAREWELL = 8_000;

/** Riemann's time to live for events that name none, in seconds. */
const USUAL_TTL = 60;

const named = (name: unknown): Name =>
  name === null || name === undefined ? null : typeof name === "string" ? name : String(name);

export class Store {
  /** Cells by host and then by service. */
  readonly hosts = new Map<Name, Map<Name, Cell>>();
  /** How many cells each service has. */
  readonly services = new Map<Name, number>();
  size = 0;
  /** News of streams beyond the most that are kept. */
  refused = 0;
  /** Events that the server left out to keep up. */
  skipped = 0;
  /** Grows when a stream comes or goes. */
  membership = 0;
  /** Grows with every change. */
  version = 0;

  constructor(private readonly most = MOST_CELLS) {}

  get(host: Name, service: Name): Cell | undefined {
    return this.hosts.get(host)?.get(service);
  }

  *cells(): Generator<Cell> {
    for (const row of this.hosts.values()) yield* row.values();
  }

  /** Forgets everything. */
  reset(): void {
    this.hosts.clear();
    this.services.clear();
    this.size = 0;
    this.refused = 0;
    this.skipped = 0;
    this.membership++;
    this.version++;
  }

  /** Takes in events, each the latest of its stream. */
  apply(events: readonly Event[], now: number): void {
    for (const event of events) this.take(event, now);
    this.version++;
  }

  /** Lets go of what expired some time ago; says whether anything went. */
  sweep(now: number): boolean {
    const before = this.size;
    for (const [host, row] of this.hosts) {
      for (const [service, cell] of row) {
        if (cell.gone > 0 && now - cell.gone >= FAREWELL) this.drop(row, host, service);
      }
    }
    if (this.size === before) return false;
    this.membership++;
    this.version++;
    return true;
  }

  private take(event: Event, now: number): void {
    const host = named(event.host);
    const service = named(event.service);
    const state = stateOf(event);
    const goes = state === "expired" || event.left === true;
    const cell = this.get(host, service);
    if (cell === undefined) {
      if (event.left === true) return;
      this.add({
        host,
        service,
        event,
        state,
        changed: 0,
        gone: goes ? now : 0,
        ...life(event, now),
      });
      return;
    }
    if (cell.state !== state) cell.changed = now;
    if (!goes) cell.gone = 0;
    else if (cell.gone === 0) cell.gone = now;
    // Of a stream that leaves we are told no tags and no attributes; it stays in its groups until it goes.
    cell.event = event.left === true ? { ...cell.event, ...event, tags: cell.event.tags } : event;
    cell.state = state;
    Object.assign(cell, life(event, now));
  }

  private add(cell: Cell): void {
    if (this.size >= this.most) {
      this.refused++;
      return;
    }
    let row = this.hosts.get(cell.host);
    if (row === undefined) {
      row = new Map();
      this.hosts.set(cell.host, row);
    }
    row.set(cell.service, cell);
    this.services.set(cell.service, (this.services.get(cell.service) ?? 0) + 1);
    this.size++;
    this.membership++;
  }

  private drop(row: Map<Name, Cell>, host: Name, service: Name): void {
    row.delete(service);
    if (row.size === 0) this.hosts.delete(host);
    const left = (this.services.get(service) ?? 1) - 1;
    if (left === 0) this.services.delete(service);
    else this.services.set(service, left);
    this.size--;
  }
}

function life(event: Event, now: number): { at: number; ttl: number } {
  const time = typeof event.time === "string" ? Date.parse(event.time) : Number.NaN;
  const ttl = typeof event.ttl === "number" && event.ttl > 0 ? event.ttl : USUAL_TTL;
  return { at: Number.isNaN(time) ? now : time, ttl: ttl * 1000 };
}

/** How much of its life a cell has left: 1 is fresh, 0 is due to expire. */
export function freshness(cell: Cell, now: number): number {
  if (cell.gone > 0) return 0;
  return Math.min(1, Math.max(0, 1 - (now - cell.at) / cell.ttl));
}

/** The number in a cell, if it has one. */
export function metricOf(cell: Cell): number | null {
  return typeof cell.event.metric === "number" ? cell.event.metric : null;
}
