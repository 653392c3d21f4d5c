// What pages listen to: the frames of a page, and the tail of all events.

import { alertsOf } from "../alerts.mjs";
import { overview } from "../overview.mjs";
import { compile } from "../query.mjs";
import { ranked, said } from "../rules.mjs";

/** Events in one frame of a snapshot. */
const SNAPSHOT = 5_000;

const ALL = "snapshot,delta,overview,rules,alerts,forwarded";

/** Frames are numbered by the position of the log that they reach; another run of the server has other numbers. */
const RUN = Date.now().toString(36);

/** What is said of a stream that does not match. */
const farewell = ({ host, service, state, metric, time, ttl }) => ({
  ...{ host, service, state, metric, time, ttl },
  ...{ description: null, tags: null, left: true },
});

function stream({ world, query, request, response, events }) {
  const matches = compile(query.get("q") ?? "true");
  const wanted = new Set((query.get("frames") ?? ALL).split(","));
  const [run, position] = (request.headers["last-event-id"] ?? "").split(":");
  const write = events();
  const frame = (name, data) => {
    if (wanted.has(name)) write(name, data, `${RUN}:${world.position}`);
  };
  const resumed = run === RUN;
  const held = resumed
    ? world.log.filter((entry) => entry.position > Number(position)).map(({ event }) => event)
    : [...world.index.values()];
  const left = held.filter(matches);
  let reset = !resumed;
  do {
    frame("snapshot", { events: left.splice(0, SNAPSHOT), reset });
    reset = false;
  } while (left.length > 0);
  frame("overview", overview(world));
  frame("rules", ranked(world));
  frame("alerts", alertsOf(world));
  const stop = world.listen((news, beats) => {
    const changed = news.map((event) => (matches(event) ? event : farewell(event)));
    if (changed.length > 0) frame("delta", { events: changed, skipped: 0 });
    const items = beats % 3 === 0 ? said(news) : [];
    if (items.length > 0) frame("forwarded", { items, skipped: 0 });
    if (beats % 5 !== 0) return;
    frame("overview", overview(world));
    frame("rules", ranked(world));
    frame("alerts", alertsOf(world));
  });
  response.on("close", stop);
}

function tap({ world, query, response, events }) {
  const matches = compile(query.get("q") ?? "true");
  const rate = Number(query.get("rate") ?? 1_000);
  const places = query.get("positions") === "true";
  const write = events();
  let level = rate;
  let skipped = 0;
  const stop = world.listen((_, beats, tapped) => {
    level = Math.min(rate, level + rate / 5);
    for (const entry of tapped) {
      if (!matches(entry.event)) continue;
      if (level < 1) {
        skipped++;
        continue;
      }
      level--;
      write("message", places ? entry : entry.event);
    }
    if (beats % 5 !== 0 || skipped === 0) return;
    write("skipped", { skipped });
    skipped = 0;
  });
  response.on("close", stop);
}

export const routes = [
  ["GET", "stream", stream],
  ["GET", "tap", tap],
];
