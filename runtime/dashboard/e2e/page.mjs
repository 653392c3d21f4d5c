// The page in a real browser, against a running server.
//
//   node e2e/page.mjs --url http://127.0.0.1:5559 --out shots [--expect-rules 1] [--expect-said] [--browser /usr/bin/chromium]
//
// Exits with 0 when all held, 1 when something did not, 2 when it was called wrongly. It fails on any console error,
// page error or request to another origin, and on serious findings of axe-core.

import { spawn } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { chromium } from "playwright-core";

const { values: options } = parseArgs({
  options: {
    url: { type: "string" },
    out: { type: "string" },
    "expect-rules": { type: "string", default: "0" },
    "expect-said": { type: "boolean", default: false },
    browser: { type: "string", default: "/usr/bin/chromium" },
  },
});
if (options.url === undefined || options.out === undefined) {
  console.error(
    "usage: node e2e/page.mjs --url URL --out DIR [--expect-rules N] [--expect-said] [--browser PATH]",
  );
  process.exit(2);
}
const here = dirname(fileURLToPath(import.meta.url));
const base = new URL(options.url);
mkdirSync(options.out, { recursive: true });

/** How long anything may take to appear, in milliseconds. */
const PATIENCE = 20_000;
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

const problems = [];
const fail = (text) => {
  problems.push(text);
  console.error(`FAIL  ${text}`);
};
const pass = (text) => console.log(`ok    ${text}`);
const check = (good, text) => (good ? pass(text) : fail(text));

const browser = await chromium.launch({
  executablePath: options.browser,
  args: [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
});

/** A page that reports all that goes wrong on it. `allowed` says which console errors belong to the matter. */
async function open({
  name,
  url = base,
  width = 1440,
  height = 900,
  scheme = "dark",
  hash = "",
  allowed = () => false,
  prepare,
}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: scheme });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type()) && !allowed(message))
      fail(`${name}: console ${message.type()}: ${message.text()}`);
  });
  page.on("pageerror", (error) => fail(`${name}: page error: ${error.stack ?? error}`));
  page.on("dialog", (dialog) => {
    fail(`${name}: a dialog opened: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on("request", (request) => {
    const to = new URL(request.url());
    if (to.origin !== new URL(url).origin) fail(`${name}: request to ${to.origin}`);
  });
  await prepare?.(page);
  await page.goto(new URL(hash, url).href);
  return page;
}

const streams = (page) =>
  page
    .locator(".grid-panel .counts")
    .innerText()
    .then((text) => Number(/^[\d\u202f]+/u.exec(text)?.[0].replaceAll("\u202f", "") ?? "0"));
const live = (page) => page.locator(".link-live").waitFor();
const shot = (page, name, more = {}) => page.screenshot({ path: join(options.out, `${name}.png`), ...more });

/** Waits until `look` gives something true. */
async function until(what, look) {
  const end = Date.now() + PATIENCE;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > end) throw new Error(`waited ${PATIENCE / 1000} s for ${what}`);
    await new Promise((done) => setTimeout(done, 100));
  }
}

async function step(name, run) {
  try {
    await run();
    pass(name);
  } catch (error) {
    fail(`${name}: ${error.message.split("\n").slice(0, 4).join(" ")}`);
  }
}

async function accessible(page, name) {
  // The browser's tools may run what the page's own policy forbids to the page.
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() =>
    globalThis.axe.run(document, { resultTypes: ["violations"] }),
  );
  const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
  for (const { id, help, nodes } of serious) {
    fail(
      `${name}: axe ${id}: ${help}: ${nodes
        .slice(0, 3)
        .map(
          ({ target, failureSummary }) =>
            `${target} (${failureSummary?.split("\n").slice(1).join(" ").trim()})`,
        )
        .join("; ")}`,
    );
  }
  if (serious.length === 0) pass(`${name}: axe finds nothing serious`);
}

/** How many colours the middle of the grid's canvas has: an empty one has few. */
const coloursOf = (page) =>
  page.evaluate(() => {
    const canvas = document.querySelector("#grid canvas");
    // Read from a copy: reading the canvas itself would change how the browser draws it.
    const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", {
      willReadFrequently: true,
    });
    copy.drawImage(canvas, 0, 0);
    const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
    const seen = new Set();
    for (let n = 0; n < data.length; n += 4) seen.add((data[n] << 16) | (data[n + 1] << 8) | data[n + 2]);
    return seen.size;
  });

// ---- the page with live data ----

const refusals = (message) =>
  message.text().includes("400") && message.location().url.includes("/api/v1/query");
const page = await open({ name: "dark", allowed: refusals });
await step("the connection is live", () => live(page));
await step("streams are in the grid", () => until("streams", async () => (await streams(page)) > 0));
await step("cells are drawn", () => until("colours", async () => (await coloursOf(page)) > 12));
await step("events per second are above zero", () =>
  until("a rate", async () => /[1-9]/u.test(await page.locator(".figure b").innerText())),
);
const wanted = Number(options["expect-rules"]);
if (wanted > 0)
  await step(`at least ${wanted} rules are listed`, () =>
    until("rules", async () => (await page.locator("tr.rule").count()) >= wanted),
  );
if (options["expect-said"]) await step("rules said something", () => page.locator(".said").first().waitFor());
await step("news keep coming", async () => {
  const uptime = () => page.locator(".up").getAttribute("title");
  const before = await uptime();
  await until("the uptime to move", async () => (await uptime()) !== before);
});
await page.waitForTimeout(6_000);
await shot(page, "dark");
await accessible(page, "dark");

await step("the keyboard moves in the grid, and opens and closes a stream", async () => {
  await page.keyboard.press("g");
  // The first place of the grid may have no stream: walk until a cell is under the focus.
  await page.keyboard.press("ArrowDown");
  const filled = () => page.locator(".cell-tip").count();
  for (let n = 0; n < 200 && (await filled()) === 0; n++)
    await page.keyboard.press(n % 5 === 4 ? "ArrowDown" : "ArrowRight");
  await until("a tooltip", filled);
  const spoken = await page.locator(".grid-panel > p[aria-live]").textContent();
  check(/: /u.test(spoken), `the focused stream is spoken (${JSON.stringify(spoken.slice(0, 80))})`);
  await page.keyboard.press("Enter");
  await page.locator(".detail .fields").waitFor();
  await page.waitForTimeout(3_500);
  await shot(page, "detail");
  await accessible(page, "detail");
  await page.keyboard.press("Escape");
  await page.locator(".detail").waitFor({ state: "detached" });
  check((await page.evaluate(() => document.activeElement?.id)) === "grid", "the focus is back in the grid");
});

await step("the pointer opens a stream", async () => {
  const box = await page.locator("#grid").boundingBox();
  const points = [54, 80, 106, 132, 158].flatMap((y) =>
    Array.from({ length: 16 }, (_, n) => [0.15 + 0.05 * n, y]),
  );
  for (const [x, y] of points) {
    await page.mouse.move(box.x + box.width * x, box.y + y);
    await page.waitForTimeout(60);
    if ((await page.locator(".cell-tip").count()) > 0) break;
  }
  await page.locator(".cell-tip .fields").waitFor();
  await shot(page, "tooltip");
  await page.mouse.down();
  await page.mouse.up();
  await page.locator(".detail").waitFor();
  await page.locator(".detail .icon").click();
});

await step("a query narrows the grid, and is in the address", async () => {
  const all = await streams(page);
  await page.keyboard.press("/");
  await page.keyboard.type("metric > 1e300");
  await page.keyboard.press("Enter");
  await until("fewer streams", async () => (await streams(page)) < all);
  check(new URL(page.url()).hash.includes("metric"), "the address holds the query");
  await page.locator(".empty").waitFor();
  await shot(page, "no-match");
  await page.goBack();
  await until("all streams again", async () => (await streams(page)) > 0);
});

await step("an erroneous query is underlined and explained", async () => {
  const before = await streams(page);
  await page.keyboard.press("/");
  await page.locator("#query").fill('state = "ok" AND metric > 3');
  await page.keyboard.press("Enter");
  await page.locator(".query-error strong").waitFor();
  const wrong = await page.locator(".mirror u").innerText();
  check(wrong.includes("AND"), `the error is underlined (${JSON.stringify(wrong)})`);
  check(
    (await page.locator("#query").getAttribute("aria-invalid")) === "true",
    "the field is marked as invalid",
  );
  const after = await streams(page);
  check(after > before / 2, `the grid still shows the last good query (${after} streams, ${before} before)`);
  await shot(page, "error");
  await accessible(page, "error");
  await page.locator(".clear").click();
  await page.locator(".query-error").waitFor({ state: "detached" });
});

if (wanted > 0) {
  await step("a rule shows more of itself", async () => {
    await page.locator("tr.rule button").first().click();
    await page.locator(".more").first().waitFor();
    await shot(page, "rule");
    await accessible(page, "rule");
    await page.locator("tr.rule button").first().click();
  });
}

await step("the node is shown below the grid: shards, inputs, outputs", async () => {
  await page.locator("h1").click();
  await page.keyboard.press("o");
  const table = (name) =>
    page.locator(".node-panel table", { has: page.locator(`caption:text-is("${name}")`) });
  await until("a shard that has seen events", async () =>
    /[1-9]/u.test(await table("Shards").locator("tbody td").first().innerText()),
  );
  await until("an input with events", async () =>
    (await table("Inputs").locator("tbody td:nth-child(2)").allInnerTexts()).some((text) =>
      /[1-9]/u.test(text),
    ),
  );
  check((await table("Outputs").locator("tbody tr").count()) >= 1, "outputs are listed");
  check(new URL(page.url()).hash.includes("below=node"), "the address says so");
  await shot(page, "node");
  await accessible(page, "node");
  await page.keyboard.press("o");
  await page.locator(".node-panel").waitFor({ state: "detached" });
});

await step("help opens with ? and closes with Escape", async () => {
  await page.locator("h1").click();
  await page.keyboard.press("?");
  await page.locator("dialog[open] .keys").waitFor();
  await shot(page, "help");
  await page.keyboard.press("Escape");
  await page.locator("dialog[open]").waitFor({ state: "detached" });
});

await step("keys sort, turn and resize, and the address keeps it", async () => {
  for (const key of ["s", "t", "-"]) await page.keyboard.press(key);
  await page.waitForTimeout(700);
  const hash = new URL(page.url()).hash;
  check(
    hash.includes("sort=worst") && hash.includes("turned=1") && hash.includes("size=small"),
    `the address holds the view (${hash})`,
  );
  check((await coloursOf(page)) > 6, "cells are drawn small and turned");
  await shot(page, "small");
});
await page.context().close();

// ---- other looks of it ----

const light = await open({ name: "light", scheme: "light", hash: "#sort=worst" });
await step("light", async () => {
  await live(light);
  await until("streams", async () => (await streams(light)) > 0);
  await until("colours", async () => (await coloursOf(light)) > 12);
  await light.waitForTimeout(2_500);
  await shot(light, "light");
  await accessible(light, "light");
  await light.locator("h1").click();
  await light.keyboard.press("d");
  check(
    (await light.evaluate(() => document.documentElement.dataset.theme)) === "dark",
    "the theme can be turned by key",
  );
});
await light.context().close();

const phone = await open({ name: "phone", width: 390, height: 844 });
await step("phone", async () => {
  await live(phone);
  await until("colours", async () => (await coloursOf(phone)) > 12);
  await phone.waitForTimeout(2_000);
  const wide = await phone.evaluate(() => document.documentElement.scrollWidth);
  check(wide <= 390, `nothing is wider than the screen (${wide} px)`);
  await shot(phone, "phone", { fullPage: true });
  await accessible(phone, "phone");
});
await phone.context().close();

const wall = await open({ name: "wall", width: 2560, height: 1440, hash: "#size=large&sort=worst" });
await step("wall", async () => {
  await live(wall);
  await until("colours", async () => (await coloursOf(wall)) > 12);
  await wall.waitForTimeout(2_000);
  await shot(wall, "wall");
});
await wall.context().close();

const lost = await open({
  name: "lost",
  allowed: () => true,
  prepare: (lostPage) => lostPage.route("**/api/v1/**", (route) => route.abort()),
});
await step("without a server the page says so, and comes back by itself", async () => {
  await lost.locator(".lost").waitFor();
  await lost.locator(".link-lost").waitFor();
  await shot(lost, "lost");
  await accessible(lost, "lost");
  await lost.unroute("**/api/v1/**");
  await live(lost);
  await until("streams", async () => (await streams(lost)) > 0);
});
await lost.context().close();

// ---- what the server at hand may not show: nothing at all, and everything at its worst ----

async function withMock(flags, run) {
  const mock = spawn(process.execPath, [join(here, "..", "mock", "server.mjs"), "--port", "0", ...flags], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  try {
    const url = await new Promise((resolve, reject) => {
      mock.once("error", reject);
      mock.once("exit", (code) => reject(new Error(`the mock server ended with ${code}`)));
      mock.stdout.once("data", (line) => resolve(String(line).trim()));
    });
    await run(url, mock);
  } finally {
    mock.kill();
  }
}

await step("with no events the page says how to send the first", () =>
  withMock(["--empty"], async (url) => {
    const empty = await open({ name: "empty", url });
    await empty.locator(".empty pre").waitFor();
    check(
      (await empty.locator(".empty pre").innerText()).includes(`${url}/api/v1/events`),
      "it names this server's address",
    );
    await shot(empty, "empty");
    await accessible(empty, "empty");
    await empty.context().close();
  }),
);

await step("a server that dies is missed, and found again", () =>
  withMock(["--hosts", "10"], async (url, mock) => {
    const orphan = await open({ name: "orphan", url, allowed: () => true });
    await until("streams", async () => (await streams(orphan)) > 0);
    mock.kill();
    await orphan.locator(".lost").waitFor();
    check((await streams(orphan)) > 0, "the last known state stays");
    await orphan.waitForTimeout(1_500);
    await shot(orphan, "orphan");
    await orphan.context().close();
  }),
);

await step("names that attack do nothing but look odd", () =>
  withMock(["--hostile", "--hosts", "6"], async (url) => {
    const odd = await open({ name: "hostile", url, hash: "#sort=worst" });
    await until("streams", async () => (await streams(odd)) > 50);
    check((await odd.locator("img, iframe, #page script").count()) === 0, "no element came out of a name");
    const wide = await odd.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    check(wide <= 0, "no name makes the page wider");
    await odd.keyboard.press("g");
    await odd.keyboard.press("n");
    await odd.keyboard.press("Enter");
    await odd.locator(".detail").waitFor();
    await odd.waitForTimeout(800);
    await shot(odd, "hostile");
    await odd.context().close();
  }),
);

await step("of ten thousand rules the busiest are listed, and any can be found", () =>
  withMock(["--rules", "10000", "--hosts", "20"], async (url) => {
    const many = await open({ name: "many rules", url });
    await until("rules", async () => (await many.locator("tr.rule").count()) > 50);
    const rows = await many.locator("tr.rule").count();
    check(rows <= 100, `${rows} rules are listed`);
    check(
      /10\s?000 deployed/u.test(await many.locator(".rules-panel .counts").innerText()),
      "all are counted",
    );
    await many.locator(".find").fill("customer-07");
    await until("only those", async () => {
      const names = await many.locator("tr.rule bdi").allInnerTexts();
      return names.length === 100 && names.every((name) => name.startsWith("customer-07"));
    });
    await shot(many, "many-rules");
    await accessible(many, "many rules");
    await many.locator(".find").fill("");
    await until("the busiest again", async () =>
      (await many.locator("tr.rule bdi").allInnerTexts()).includes("silence"),
    );
    await many.context().close();
  }),
);

await step("twenty thousand streams stay smooth", () =>
  withMock(["--hosts", "3000"], async (url) => {
    const big = await open({ name: "big", url, hash: "#size=small&sort=worst" });
    await until("streams", async () => (await streams(big)) >= 15_000);
    await big.waitForTimeout(2_000);
    const frames = await big.evaluate(async () => {
      const grid = document.querySelector("#grid");
      const gaps = [];
      let last = performance.now();
      for (let n = 0; n < 120; n++) {
        grid.scrollTop += 90;
        await new Promise((done) => requestAnimationFrame(done));
        const now = performance.now();
        gaps.push(now - last);
        last = now;
      }
      return gaps.sort((a, b) => a - b);
    });
    const [median, slow] = [frames[60], frames[114]];
    check(
      median < 50,
      `half of the frames come within ${median.toFixed(0)} ms while scrolling, 95 of 100 within ${slow.toFixed(0)} ms`,
    );
    await shot(big, "big");
    await big.context().close();
  }),
);

await browser.close();
if (problems.length > 0) {
  console.error(`\n${problems.length} failed; screenshots are in ${options.out}`);
  process.exit(1);
}
console.log(`\nall held; screenshots are in ${options.out}`);
