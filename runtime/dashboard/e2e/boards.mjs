// Does in a real browser what riemann-dash does: one WebSocket, or one EventSource, for each view; nothing is ever sent;
// what is closed is opened again every six seconds; events expire by the newest time that was seen.
//
//   node e2e/boards.mjs --ws 127.0.0.1:5556 --sse 127.0.0.1:5558 [--browser /usr/bin/chromium]
//
// The page comes from a port of its own, as riemann-dash's does. Whoever started us restarts the server when we print
// `restart`. Exits with 0 when all held.

import { createServer } from "node:http";
import { parseArgs } from "node:util";
import { chromium } from "playwright-core";

const { values: options } = parseArgs({
  options: {
    ws: { type: "string" },
    sse: { type: "string" },
    browser: { type: "string", default: "/usr/bin/chromium" },
  },
});
/** How long anything may take, in milliseconds. */
const PATIENCE = 30_000;

const site = createServer((_, response) => {
  response.setHeader("content-type", "text/html");
  response.end("<!doctype html><title>board</title>");
});
await new Promise((listening) => site.listen(0, "127.0.0.1", listening));
const url = `http://127.0.0.1:${site.address().port}/`;

const browser = await chromium.launch({
  executablePath: options.browser,
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"],
});
let failed = false;
const check = (good, text) => {
  console.log(`${good ? "ok   " : "FAIL "} ${text}`);
  failed ||= !good;
};

/** The browser's half of riemann-dash, written from what it does: subscriptions, a clock, an index of each view. */
function board({ kind, server }) {
  const views = [];
  let newest = 0;
  const events = { opened: 0, closed: 0, sent: 0, wrong: [] };

  const connect = (view) => {
    const query = encodeURIComponent(view.query);
    const source =
      kind === "ws"
        ? new WebSocket(`ws://${server}/index?subscribe=true&query=${query}`)
        : new EventSource(`http://${server}/index?query=${query}`);
    source.onopen = () => {
      events.opened += 1;
    };
    source.onmessage = (message) => {
      const event = JSON.parse(message.data);
      const time = Date.parse(event.time);
      if (Number.isNaN(time)) events.wrong.push(`time ${event.time}`);
      newest = Math.max(newest, time);
      view.heard += 1;
      // Those that are expired are the server's word; a board goes by its own clock.
      if (event.state === "expired") return;
      view.streams.set(`${event.host}\xff${event.service}`, { event, time, ttl: event.ttl ?? 60 });
    };
    source.onclose = () => {
      events.closed += 1;
    };
    view.source = source;
  };
  const isOpen = (source) => source.readyState <= 1;

  const add = (query) => {
    const view = { query, heard: 0, streams: new Map(), source: null };
    views.push(view);
    connect(view);
  };
  setInterval(() => views.filter((view) => !isOpen(view.source)).forEach(connect), 6000);
  setInterval(() => {
    for (const view of views) {
      for (const [key, { time, ttl }] of view.streams) {
        if (time + ttl * 1000 < newest) view.streams.delete(key);
      }
    }
  }, 500);

  window.board = {
    add,
    /** What is shown. */
    shown: () => ({
      ...events,
      newest,
      open: views.filter((view) => isOpen(view.source)).length,
      views: views.map(({ query, heard, streams }) => ({
        query,
        heard,
        events: [...streams.values()].map(({ event }) => event),
      })),
    }),
    heard: () => views.map((view) => view.heard),
  };
}

const QUERIES = [
  'service = "http latency"',
  'service =~ "http%" and state = "critical"',
  'tagged "prod"',
  'host = "clock"',
  'service = "http latency" or host = "gone"',
];
const LETTERS = { ws: "WebSocket", sse: "EventSource" };

async function open(kind) {
  const context = await browser.newContext();
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  page.on("pageerror", (error) => check(false, `${LETTERS[kind]}: page error: ${error.stack ?? error}`));
  await page.goto(url);
  await page.evaluate(board, { kind, server: options[kind] });
  for (const query of QUERIES) await page.evaluate((text) => window.board.add(text), query);
  return page;
}

const pages = { ws: await open("ws"), sse: await open("sse") };
for (const [kind, page] of Object.entries(pages)) {
  const name = LETTERS[kind];
  await page.waitForFunction(() => window.board.heard().every((heard) => heard > 10));
  const shown = await page.evaluate(() => window.board.shown());
  check(
    shown.opened === QUERIES.length,
    `${name}: ${shown.opened} of ${QUERIES.length} views are open, page of ${url}`,
  );
  check(shown.wrong.length === 0, `${name}: every time is read by the browser ${shown.wrong.slice(0, 3)}`);
  const [latency, critical, prod, clock] = shown.views.map((view) => view.events);
  check(
    latency.length >= 4 && latency.every((event) => event.service === "http latency"),
    `${name}: a grid of hosts and services has its ${latency.length} cells`,
  );
  check(
    critical.length === 1 && critical[0].host === "web2" && critical[0].state === "critical",
    `${name}: a view shows what its query wants`,
  );
  const [one] = prod;
  check(
    one.tags[0] === "prod" && one.zone === "eu" && one.ttl === 5 && one.description === "how long",
    `${name}: tags, attributes, ttl and description are there`,
  );
  check(clock.length === 1 && typeof clock[0].metric === "number", `${name}: metrics are numbers`);
  // Nothing comes from `gone` any more: the board lets it go by the newest time of the others.
  await page.waitForFunction(
    () => !window.board.shown().views[4].events.some((event) => event.host === "gone"),
  );
  check(true, `${name}: a stream that is silent leaves the board`);
}

const before = {};
for (const [kind, page] of Object.entries(pages)) {
  before[kind] = await page.evaluate(() => window.board.shown());
}
console.log("restart the server, please");
for (const [kind, page] of Object.entries(pages)) {
  const name = LETTERS[kind];
  const newest = before[kind].newest;
  await page.waitForFunction(
    ([count, since]) => {
      const shown = window.board.shown();
      return shown.open === count && shown.opened >= 2 * count && shown.newest > since + 3000;
    },
    [QUERIES.length, newest],
  );
  const heard = (await page.evaluate(() => window.board.heard())).map(
    (n, at) => n - before[kind].views[at].heard,
  );
  await page.waitForFunction(
    (then) => window.board.heard().every((n, at) => n > then[at] + 5),
    before[kind].views.map((view) => view.heard),
  );
  check(
    true,
    `${name}: after a restart of the server every view is open again and hears more (${heard.join(", ")})`,
  );
}
await browser.close();
site.close();
process.exit(failed ? 1 : 0);
