// What an open page costs: how smooth it stays and how much memory it holds while a node takes many events a second, and
// what pages cost the node. Prints what it measures; judging is for who reads it (docs/performance.md), but a page that is
// sent nothing or complains fails.
//
//   node e2e/soak.mjs --tidegate target/release/tidegate [--minutes 30] [--rate 100000] [--streams 10000] [--pages 20]
//
// Starts a node of its own in a folder that it removes, and sends with `tidegate bench tcp`.

import { spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { get } from "node:http";
import { parseArgs } from "node:util";
import { Harness } from "./harness.mjs";
import { startNode } from "./node.mjs";

const { values: options } = parseArgs({
  options: {
    tidegate: { type: "string" },
    minutes: { type: "string", default: "30" },
    rate: { type: "string", default: "100000" },
    streams: { type: "string", default: "10000" },
    pages: { type: "string", default: "20" },
    seconds: { type: "string", default: "20" },
    browser: { type: "string", default: "/usr/bin/chromium" },
  },
});
if (options.tidegate === undefined) {
  console.error(
    "usage: node e2e/soak.mjs --tidegate PROGRAM [--minutes 30] [--rate 100000] [--streams 10000]",
  );
  process.exit(2);
}

/** Seconds that a page has to come to rest before it is looked at. */
const WARM = 5;

const SETTINGS = `
[http]
address = "127.0.0.1:0"

[websocket]
enabled = false

[log]
keep_bytes = "256MiB"

[inputs.riemann]
type = "riemann"
tcp = "127.0.0.1:0"
udp = "127.0.0.1:0"
`;

/** Sends for so many seconds; as fast as is acked when no rate is given. Resolves with what the sender measured. */
function load({ pid, listeners }, seconds, rate) {
  const words = [
    "bench",
    "--json",
    "tcp",
    "--addr",
    listeners.get("riemann tcp"),
    "--seconds",
    String(seconds),
  ];
  words.push("--streams", options.streams, "--server-pid", String(pid));
  if (rate !== undefined) words.push("--rate", rate);
  const sender = spawn(options.tidegate, words, { stdio: ["ignore", "pipe", "inherit"] });
  let text = "";
  sender.stdout.on("data", (some) => {
    text += some;
  });
  return new Promise((done, failed) => {
    sender.once("exit", (code) =>
      code === 0 ? done(JSON.parse(text)) : failed(new Error(`the sender: ${code}`)),
    );
  });
}

/** A page as the node sees it: somebody who reads the stream of frames. */
function reader(page) {
  const seen = { frames: 0, bytes: 0 };
  const request = get(
    new URL("/api/v1/stream", page),
    { headers: { accept: "text/event-stream" } },
    (answer) => {
      answer.on("data", (some) => {
        seen.bytes += some.length;
        seen.frames += some.toString("latin1").split("event: delta").length - 1;
      });
    },
  );
  request.on("error", () => {});
  return { seen, close: () => request.destroy() };
}

/** Resident memory of this process and of the browser's parts that draw pages, in MiB. */
function resident(pid) {
  const of = (id) => {
    const found = /^VmRSS:\s+(\d+)/mu.exec(readFileSync(`/proc/${id}/status`, "utf8"));
    return Number(found?.[1] ?? 0) / 1024;
  };
  let drawing = 0;
  for (const id of readdirSync("/proc").filter((name) => /^\d+$/u.test(name))) {
    try {
      if (readFileSync(`/proc/${id}/cmdline`, "latin1").includes("--type=renderer")) drawing += of(id);
    } catch {
      // It has ended meanwhile.
    }
  }
  return { node: of(pid), drawing };
}

/** Times between frames of the browser for a while, in milliseconds, in order. */
const gaps = (page) =>
  page.evaluate(async () => {
    const found = [];
    let last = performance.now();
    while (found.length < 300) {
      await new Promise((done) => requestAnimationFrame(done));
      const now = performance.now();
      found.push(now - last);
      last = now;
    }
    return found.sort((a, b) => a - b);
  });

const node = await startNode(options.tidegate, SETTINGS);
const harness = new Harness({ url: node.page, out: node.folder, browser: options.browser });
try {
  console.log(
    "| pages | events/s asked | acked events/s | node's CPU s per M events | frames/s of a page | KiB/s of a page |",
  );
  console.log("|---:|---:|---:|---:|---:|---:|");
  for (const rate of [options.rate, undefined]) {
    for (const pages of [0, Number(options.pages), 0, Number(options.pages)]) {
      const readers = Array.from({ length: pages }, () => reader(node.page));
      const { server, ...sent } = await load(node, Number(options.seconds), rate);
      const each = (of) =>
        readers.reduce((sum, { seen }) => sum + of(seen), 0) / Math.max(1, pages) / Number(options.seconds);
      const cells = [
        pages,
        rate ?? "all",
        Math.round(sent.acked_events_per_second),
        server.cpu_s_per_million.toFixed(3),
        each(({ frames }) => frames).toFixed(1),
        (each(({ bytes }) => bytes) / 1024).toFixed(0),
      ];
      console.log(`| ${cells.join(" | ")} |`);
      for (const one of readers) one.close();
      if (readers.some(({ seen }) => seen.frames === 0)) harness.fail("a page was sent no changes");
    }
  }
  const minutes = Number(options.minutes);
  await harness.launch();
  const sending = load(node, minutes * 60 + 2 * WARM, options.rate);
  const page = await harness.open({ name: "soak", url: node.page, hash: "#/grid" });
  await page.waitForTimeout(1_000 * WARM);
  const session = await page.context().newCDPSession(page);
  console.log(
    "\n| minute | frame ms p50 | p90 | p99 | frames/s | page's heap MiB | browser MiB | node MiB |",
  );
  console.log("|---:|---:|---:|---:|---:|---:|---:|---:|");
  for (let minute = 0; minute <= minutes; minute++) {
    const began = Date.now();
    const found = await gaps(page);
    const at = (share) => found[Math.floor(found.length * share)].toFixed(1);
    const second = (1000 * found.length) / found.reduce((sum, gap) => sum + gap, 0);
    await session.send("HeapProfiler.collectGarbage");
    const { usedSize } = await session.send("Runtime.getHeapUsage");
    const { node: held, drawing } = resident(node.pid);
    const cells = [minute, at(0.5), at(0.9), at(0.99), second.toFixed(1), (usedSize / 2 ** 20).toFixed(1)];
    console.log(`| ${[...cells, drawing.toFixed(0), held.toFixed(0)].join(" | ")} |`);
    if (minute < minutes) await page.waitForTimeout(Math.max(0, 60_000 - (Date.now() - began)));
  }
  console.log(`\n${JSON.stringify(await sending)}`);
  await harness.close();
} finally {
  await node.stop();
}
if (harness.problems.length > 0) process.exit(1);
