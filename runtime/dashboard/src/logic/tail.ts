// The tail of a stream of events: the latest so many, held still while paused, and how fast they come.

import type { Tapped } from "../contract.ts";

/** Events that are kept. */
export const MOST_TAILED = 500;

/** Seconds that a rate is told over. */
const WINDOW = 5;

export interface Row extends Tapped {
  id: number;
  /** The connection broke before it: what came meanwhile is not here. */
  after_break: boolean;
}

export class Tail {
  /** Newest first. */
  rows: readonly Row[] = [];
  /** Events that came, and those that the server left out to keep to the rate. */
  total = 0;
  skipped = 0;
  private waiting: Row[] = [];
  private broken = false;
  private counts = new Float64Array(WINDOW);
  private second = 0;

  constructor(readonly most = MOST_TAILED) {}

  /** Forgets everything. */
  clear(): void {
    this.rows = [];
    this.waiting = [];
    this.broken = false;
    this.total = 0;
    this.skipped = 0;
    this.counts.fill(0);
  }

  /** Takes an event; it is among the rows after the next `flush`. */
  add(tapped: Tapped, now: number): void {
    this.waiting.push({ ...tapped, id: this.total++, after_break: this.broken });
    this.broken = false;
    // While paused only the latest wait: none older would be shown.
    if (this.waiting.length >= 2 * this.most) this.waiting.splice(0, this.waiting.length - this.most);
    this.count(1, now);
  }

  /** Nothing is heard for a while. */
  breaks(): void {
    this.broken = this.total > 0;
  }

  /** The server left out so many. */
  skip(events: number, now: number): void {
    this.skipped += events;
    this.count(events, now);
  }

  /** Events that wait to be shown. */
  get held(): number {
    return this.total - (this.rows[0] === undefined ? 0 : this.rows[0].id + 1);
  }

  /** Shows what waits; says whether there was anything. */
  flush(): boolean {
    if (this.waiting.length === 0) return false;
    this.rows = [...this.waiting.slice(-this.most).reverse(), ...this.rows].slice(0, this.most);
    this.waiting = [];
    return true;
  }

  /** Events a second that match, shown or not, over the last whole seconds. */
  rate(now: number): number {
    this.move(now);
    const current = this.second % WINDOW;
    let sum = 0;
    for (const [n, count] of this.counts.entries()) if (n !== current) sum += count;
    return sum / (WINDOW - 1);
  }

  private move(now: number): void {
    const second = Math.floor(now / 1000);
    if (second - this.second >= WINDOW) this.counts.fill(0);
    else for (let n = this.second + 1; n <= second; n++) this.counts[n % WINDOW] = 0;
    this.second = second;
  }

  private count(events: number, now: number): void {
    this.move(now);
    this.counts[this.second % WINDOW] = (this.counts[this.second % WINDOW] ?? 0) + events;
  }
}
