// What the simulated node holds: the fleet, its index, the log of what came, and who listens.

import { Fleet } from "./fleet.mjs";

/** Milliseconds between two frames. */
export const FRAME = 200;

/** Events that the log keeps. */
const LOG = 20_000;

/** Events of one batch of the log, so that positions and rows look like those of a node. */
const BATCH = 1_000;

const keyOf = (event) => JSON.stringify([event.host, event.service]);

export class World {
  constructor(options) {
    this.options = options;
    this.fleet = new Fleet({
      hosts: options.empty ? 0 : options.hosts,
      seed: options.seed,
      hostile: options.hostile,
    });
    this.started = Date.now();
    this.index = new Map();
    /** The latest events, oldest first, each `{ position, row, event }`. */
    this.log = [];
    this.position = 0;
    this.total = options.empty ? 0 : 18_204_331;
    this.perSecond = 0;
    this.beats = 0;
    this.listeners = new Set();
    // Some history, so that the first look shows a fleet in the middle of its day.
    for (let n = 300; n > 0; n--) this.take(this.fleet.step(Date.now() - n * FRAME, 0.12));
  }

  take(news) {
    this.total += news.length;
    for (let first = 0; first < news.length; first += BATCH) {
      this.position++;
      for (const [row, event] of news.slice(first, first + BATCH).entries())
        this.log.push({ position: this.position, row, event });
    }
    if (this.log.length > 2 * LOG) this.log.splice(0, this.log.length - LOG);
    for (const event of news) {
      if (event.state === "expired") this.index.delete(keyOf(event));
      else this.index.set(keyOf(event), event);
    }
  }

  /** The event at a place of the log. */
  at(position, row) {
    return this.log.find((entry) => entry.position === position && entry.row === row)?.event;
  }

  /** Calls `hear(news, beat)` with each frame; the answer stops it. */
  listen(hear) {
    this.listeners.add(hear);
    return () => this.listeners.delete(hear);
  }

  /** Moves time. */
  step() {
    const first = this.log.length;
    const news = this.fleet.step(Date.now(), this.options.share);
    this.take(news);
    const wave = 1 + 0.25 * Math.sin(Date.now() / 9000) + 0.06 * Math.sin(Date.now() / 700);
    this.perSecond = this.options.empty ? 0 : Math.round(this.fleet.streams.length * 260 * wave);
    this.beats++;
    const tapped = this.log.slice(Math.min(first, this.log.length - news.length));
    for (const hear of this.listeners) hear(news, this.beats, tapped);
  }
}
