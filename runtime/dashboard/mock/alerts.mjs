// The alerts of the simulated node: they fire and resolve by themselves, and people acknowledge, resolve and silence them.

import { compile } from "./query.mjs";

const iso = (at) => new Date(at).toISOString();

/** Closed alerts that are kept. */
const KEPT = 400;
const EVENTS = 12;

const hash = (text) =>
  [...text].reduce((sum, letter) => (Math.imul(sum, 31) + letter.codePointAt(0)) >>> 0, 7);

export class Alerts {
  constructor(world) {
    this.world = world;
    this.all = new Map();
    this.silences = [];
    this.number = 0;
    // Some trouble stays, so that there is always something to look after.
    const troubled = world.fleet.streams.filter(({ host, text }) => host !== null && text === null);
    for (let n = 0; n < Math.min(7, troubled.length); n++) {
      const stream = troubled[(17 + 23 * n) % troubled.length];
      stream.floor = n % 3 === 2 ? 0.69 : 0.79;
      stream.level = stream.floor + 0.02;
      stream.silent = 0;
      stream.event = world.fleet.event(stream, Date.now());
      world.take([stream.event]);
    }
    this.step(true);
    if (this.all.size > 0) this.furnish();
  }

  /** Alerts that stood before the page was opened. */
  furnish() {
    const [first, second, third, fourth] = this.all.values();
    if (second !== undefined) this.acknowledge(second, "eve", "on it: the new release doubles the queries");
    if (third !== undefined) {
      third.flapping = true;
      this.note(third, "flapping: changed 6 times in 10 minutes");
    }
    if (fourth !== undefined) {
      this.silence(`host = ${JSON.stringify(fourth.host)}`, "disk swap, CHG-4411", "mallory", 2 * 3_600_000);
    }
    if (first !== undefined) {
      first.escalated = 1;
      this.note(first, "escalated to the second line");
      first.notified.push({ at: iso(Date.now() - 240_000), to: "pager", notice: "escalated" });
    }
    this.silences.push({
      id: "s-old",
      query: 'service = "deploy"',
      reason: "release night",
      by: "ci",
      from: iso(Date.now() - 30 * 3_600_000),
      until: iso(Date.now() - 22 * 3_600_000),
      matched: 41,
    });
  }

  /** Folds what is critical now into alerts, and closes what is well again. */
  step(first = false) {
    const now = Date.now();
    const standing = new Map();
    for (const event of this.world.index.values()) {
      if (event.host === null || (event.state !== "critical" && event.state !== "warning")) continue;
      if (event.state === "warning" && hash(`${event.host}${event.service}`) % 4 === 0) continue;
      standing.set(`latency_state|${event.host}|${event.service}`, event);
    }
    for (const [key, event] of standing) {
      const known = this.all.get(key);
      if (known !== undefined && known.status !== "resolved") this.refresh(known, event);
      else if (known === undefined || now - Date.parse(known.until) > 20_000)
        this.fire(key, event, first ? hash(key) % 8_000_000 : 0);
    }
    for (const alert of this.all.values()) {
      if (alert.status !== "resolved" && !standing.has(alert.key)) this.close(alert, null, null);
    }
    if (this.all.size > KEPT) {
      const old = [...this.all.values()].find(({ status }) => status === "resolved");
      if (old !== undefined) this.all.delete(old.key);
    }
  }

  fire(key, event, ago) {
    const at = iso(Date.now() - ago);
    const alert = {
      id: (hash(`${key}${this.number++}`) % 0xffffff).toString(16).padStart(6, "0"),
      key,
      output: "pager",
      rule: "latency_state",
      generation: 7,
      version: "1.4.0",
      host: event.host,
      service: event.service,
      state: event.state,
      metric: event.metric,
      description: event.description,
      status: "firing",
      since: at,
      until: null,
      last: event.time,
      events: 1 + Math.round(ago / 60_000),
      flapping: false,
      acknowledged: null,
      silence: null,
      escalated: 0,
      notified: [{ at, to: "pager", notice: "firing" }],
      group: event.service,
      before: "ok",
      after: event.state,
      history: [{ at, what: "fired", by: null, note: null, event }],
      seen: [],
    };
    this.all.set(key, alert);
    this.refresh(alert, event);
  }

  refresh(alert, event) {
    if (alert.last === event.time && alert.seen.length > 0) return;
    if (alert.state !== event.state) this.note(alert, `${alert.state} became ${event.state}`);
    Object.assign(alert, {
      state: event.state,
      after: event.state,
      metric: event.metric,
      description: event.description,
      last: event.time,
      events: alert.events + 1,
    });
    alert.seen = [...alert.seen, event].slice(-EVENTS);
    const silence = this.silences.find((one) => !this.over(one) && one.matches?.(alert));
    if (silence !== undefined && alert.silence !== silence.id) {
      silence.matched++;
      this.note(alert, "silenced", silence.by, silence.reason);
    }
    alert.silence = silence?.id ?? null;
    alert.status =
      silence !== undefined ? "silenced" : alert.acknowledged !== null ? "acknowledged" : "firing";
  }

  over = (silence) => Date.parse(silence.until) <= Date.now();

  note(alert, what, by = null, note = null) {
    alert.history.push({ at: iso(Date.now()), what, by, note, event: null });
  }

  acknowledge(alert, by, note) {
    alert.acknowledged = { by, at: iso(Date.now()), note };
    if (alert.status === "firing") alert.status = "acknowledged";
    this.note(alert, "acknowledged", by, note);
  }

  close(alert, by, note) {
    alert.status = "resolved";
    alert.until = iso(Date.now());
    this.note(alert, "resolved", by, note);
    alert.notified.push({ at: alert.until, to: "pager", notice: "resolved" });
  }

  silence(query, reason, by, length) {
    const silence = {
      id: `s-${this.number++}`,
      query,
      reason,
      by,
      from: iso(Date.now()),
      until: iso(Date.now() + length),
      matched: 0,
      matches: compile(query),
    };
    this.silences.push(silence);
    for (const alert of this.all.values()) {
      const last = alert.seen.at(-1);
      if (alert.status !== "resolved" && last !== undefined)
        this.refresh(alert, { ...last, time: iso(Date.now()) });
    }
    return silence;
  }

  find(id) {
    return [...this.all.values()].find((alert) => alert.id === id);
  }

  shown({ history, seen, ...alert }) {
    const end = alert.until === null ? Date.now() : Date.parse(alert.until);
    return { ...alert, duration_s: Math.round((end - Date.parse(alert.since)) / 1000) };
  }

  full(alert) {
    const { rule, version, generation, before, after, history, seen } = alert;
    return { ...this.shown(alert), history, why: { rule, version, generation, before, after, events: seen } };
  }

  list(status = "open", matches = () => true, limit = 200) {
    const all = [...this.all.values()];
    const open = all.filter((alert) => alert.status !== "resolved");
    const count = (wanted) => open.filter((alert) => alert.status === wanted).length;
    const found = all.filter(
      (alert) =>
        (status === "all" || (status === "open" ? alert.status !== "resolved" : alert.status === status)) &&
        matches(alert),
    );
    const rank = { firing: 0, acknowledged: 1, silenced: 2, resolved: 3 };
    const bad = { critical: 0, warning: 1 };
    found.sort(
      (one, other) =>
        rank[one.status] - rank[other.status] ||
        (bad[one.state] ?? 2) - (bad[other.state] ?? 2) ||
        one.since.localeCompare(other.since),
    );
    return {
      alerts: found.slice(0, limit).map((alert) => this.shown(alert)),
      total: found.length,
      firing: count("firing"),
      acknowledged: count("acknowledged"),
      silenced: count("silenced"),
      next: null,
    };
  }
}

/** The alerts of a world; made when they are first asked for, and moved with it from then on. */
export function alertsIn(world) {
  if (world.alerts === undefined) {
    world.alerts = new Alerts(world);
    world.listen((_, beats) => {
      if (beats % 5 === 0) world.alerts.step();
    });
  }
  return world.alerts;
}

/** Open alerts, as a page hears of them. */
export const alertsOf = (world) => alertsIn(world).list();
