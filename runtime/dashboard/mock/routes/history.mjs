// The course of one stream: made up, the same each time, and ending where the stream is now.

import { chance } from "../fleet.mjs";

/** Points in an answer at most. */
const MOST = 2_000;

const UNITS = { s: 1e3, m: 60e3, h: 3600e3, d: 86_400e3 };

/** A moment as the server takes it: `-15m`, or ISO 8601. */
export function moment(text, usual) {
  if (text === null || text === "now") return usual;
  const relative = /^-(\d+)([smhd])$/u.exec(text);
  return relative === null ? Date.parse(text) : Date.now() - Number(relative[1]) * UNITS[relative[2]];
}

/** The course of a stream between two moments. */
export function courseOf(world, host, service, from, to, count) {
  const now = world.index.get(JSON.stringify([host, service]));
  const level = typeof now?.metric === "number" ? now.metric : 1;
  const seed = [...`${host}|${service}`].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) >>> 0, 7);
  const step = Math.max(1_000, Math.round((to - from) / count));
  const points = [];
  const states = [];
  let state = null;
  for (let at = from; at <= to; at += step) {
    const random = chance(seed + Math.floor(at / 60_000));
    const wave =
      1 + 0.3 * Math.sin(at / 900_000 + seed) + 0.12 * Math.sin(at / 47_000) + 0.1 * (random() - 0.5);
    const peak = Math.sin(at / 1_700_000 + seed) > 0.93 ? 1.8 : 1;
    const last = to - at < 2 * step ? level : level * wave * peak;
    points.push([at, last * 0.92, last * 1.08, last, Math.max(1, Math.round(step / 5_000))]);
    const next =
      to - at < 2 * step ? (now?.state ?? "expired") : peak > 1 ? "critical" : wave > 1.3 ? "warning" : "ok";
    if (next !== state) states.push([at, next]);
    state = next;
  }
  return { step, points, states };
}

export const routes = [
  [
    "GET",
    "history",
    ({ world, query, json, refuse }) => {
      const to = moment(query.get("to"), Date.now());
      const from = moment(query.get("from"), to - 900_000);
      const count = Math.min(MOST, Number(query.get("points") ?? 300));
      if (!(from < to)) {
        refuse(400, "`from` must be before `to`");
        return;
      }
      const [host, service] = [query.get("host"), query.get("service")];
      const { step, points, states } = courseOf(world, host, service, from, to, count);
      json(200, {
        host,
        service,
        from: new Date(from).toISOString(),
        to: new Date(to).toISOString(),
        step_ms: step,
        source: to - from > 3_600_000 ? "both" : "memory",
        points,
        states,
        complete: to - from <= 86_400_000,
      });
    },
  ],
];
