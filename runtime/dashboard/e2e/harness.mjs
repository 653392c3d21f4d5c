// What the browser tests share: the browser, pages that report all that goes wrong on them, checks, screenshots.

import { spawn } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

/** How long anything may take to appear, in milliseconds. */
const PATIENCE = 20_000;

const here = dirname(fileURLToPath(import.meta.url));
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** The looks that each view is tried in. */
const LOOKS = [
  { look: "dark" },
  { look: "light", scheme: "light" },
  { look: "kiosk", width: 1920, height: 1080, params: { kiosk: "1" } },
  { look: "phone", width: 390, height: 844, scheme: "dark" },
];

export class Harness {
  problems = [];
  pages = new Map();

  constructor(options) {
    this.options = options;
    this.base = new URL(options.url);
    mkdirSync(options.out, { recursive: true });
  }

  async launch() {
    this.browser = await chromium.launch({
      executablePath: this.options.browser,
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
  }

  async close() {
    await this.browser.close();
  }

  fail(text) {
    this.problems.push(text);
    console.error(`FAIL  ${text}`);
  }

  pass(text) {
    console.log(`ok    ${text}`);
  }

  check(good, text) {
    if (good) this.pass(text);
    else this.fail(text);
  }

  /** Does something by a name; what it throws is a failure of that name. */
  async step(name, run) {
    try {
      await run();
      this.pass(name);
    } catch (error) {
      this.fail(`${name}: ${error.message.split("\n").slice(0, 4).join(" ")}`);
    }
  }

  /** A page of its own. `allowed` says which console errors belong to the matter. */
  async open({
    name,
    url = this.base,
    width = 1440,
    height = 900,
    scheme = "dark",
    hash = "",
    allowed = () => false,
    prepare,
  }) {
    const context = await this.browser.newContext({ viewport: { width, height }, colorScheme: scheme });
    const page = await context.newPage();
    page.setDefaultTimeout(PATIENCE);
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type()) && !allowed(message))
        this.fail(`${name}: console ${message.type()}: ${message.text()}`);
    });
    page.on("pageerror", (error) => this.fail(`${name}: page error: ${error.stack ?? error}`));
    page.on("dialog", (dialog) => {
      this.fail(`${name}: a dialog opened: ${dialog.message()}`);
      void dialog.dismiss();
    });
    page.on("request", (request) => {
      const to = new URL(request.url());
      if (to.origin !== new URL(url).origin && to.protocol !== "blob:")
        this.fail(`${name}: request to ${to.origin}`);
    });
    await prepare?.(page);
    await page.goto(new URL(hash, url).href);
    return page;
  }

  /** The page of a look, shared by all views that are shown in it. */
  async shared(look, url) {
    const key = `${look.look} ${url}`;
    const known = this.pages.get(key);
    if (known !== undefined) return known;
    const page = await this.open({ ...look, name: look.look, url, hash: "#/overview" });
    this.pages.set(key, page);
    return page;
  }

  /** Shows a view in dark, light, kiosk and phone width: waits for `ready`, looks for serious faults, takes a picture. */
  async looks({ name, hash, ready, url = this.base, settle = 400, each = async () => {} }) {
    for (const look of LOOKS) {
      await this.step(`${name} in ${look.look}`, async () => {
        const page = await this.shared(look, url);
        const more = new URLSearchParams(look.params).toString();
        const to = more === "" ? hash : `${hash}${hash.includes("?") ? "&" : "?"}${more}`;
        await page.goto(new URL(to, url).href);
        await this.live(page);
        await ready(page);
        await page.waitForTimeout(settle);
        await each(page, look.look);
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        this.check(wide <= 0, `${name} in ${look.look}: nothing is wider than the screen`);
        if (look.look === "kiosk") {
          const high = await page.evaluate(() => document.documentElement.scrollHeight - innerHeight);
          this.check(high <= 0, `${name} in kiosk: nothing is higher than the screen`);
        }
        await this.shot(page, `${name}-${look.look}`);
        await this.accessible(page, `${name} in ${look.look}`);
      });
    }
  }

  /** Ends the shared pages; of one server, or all. */
  async finish(url = "") {
    for (const [key, page] of [...this.pages]) {
      if (!key.endsWith(url)) continue;
      this.pages.delete(key);
      await page.context().close();
    }
  }

  /** Waits until `look` gives something true. */
  async until(what, look) {
    const end = Date.now() + PATIENCE;
    for (;;) {
      const found = await look();
      if (found) return found;
      if (Date.now() > end) throw new Error(`waited ${PATIENCE / 1000} s for ${what}`);
      await new Promise((done) => setTimeout(done, 100));
    }
  }

  live(page) {
    return page.locator(".link-live").waitFor();
  }

  shot(page, name, more = {}) {
    return page.screenshot({ path: join(this.options.out, `${name}.png`), ...more });
  }

  /** How many streams the grid says it has. */
  async streams(page) {
    const text = await page.locator(".grid-panel .counts").innerText();
    return Number(/^[\d\u202f]+/u.exec(text)?.[0].replaceAll("\u202f", "") ?? "0");
  }

  async accessible(page, name) {
    // The browser's tools may run what the page's own policy forbids to the page.
    await page.evaluate(AXE);
    // Of a long list the first entries stand for all: looking at hundreds takes a minute and tells nothing more.
    const { violations } = await page.evaluate(() =>
      globalThis.axe.run(
        { exclude: [["ol > li:nth-child(n + 20)"], ["tbody > tr:nth-child(n + 20)"]] },
        { resultTypes: ["violations"] },
      ),
    );
    const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
    for (const { id, help, nodes } of serious) {
      const where = nodes.slice(0, 3).map(({ target, failureSummary }) => {
        const why = failureSummary?.split("\n").slice(1).join(" ").trim();
        return `${target} (${why})`;
      });
      this.fail(`${name}: axe ${id}: ${help}: ${where.join("; ")}`);
    }
    if (serious.length === 0) this.pass(`${name}: axe finds nothing serious`);
  }

  /** How many colours a canvas has: an empty one has few. */
  colours(page, selector) {
    return page.evaluate((selector) => {
      const canvas = document.querySelector(selector);
      // Read from a copy: reading the canvas itself would change how the browser draws it.
      const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", {
        willReadFrequently: true,
      });
      copy.drawImage(canvas, 0, 0);
      const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
      const seen = new Set();
      for (let n = 0; n < data.length; n += 4) seen.add((data[n] << 16) | (data[n + 1] << 8) | data[n + 2]);
      return seen.size;
    }, selector);
  }

  /** Runs a mock server of its own meanwhile. `run` gets its address, and a function that kills and starts it anew. */
  async withMock(flags, run) {
    const start = async (port) => {
      const path = join(here, "..", "mock", "server.mjs");
      const mock = spawn(process.execPath, [path, "--port", port, ...flags], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      const url = await new Promise((resolve, reject) => {
        mock.once("error", reject);
        mock.once("exit", (code) => reject(new Error(`the mock server ended with ${code}`)));
        mock.stdout.once("data", (line) => resolve(String(line).trim()));
      });
      return { mock, url };
    };
    let { mock, url } = await start("0");
    const kill = async () => {
      const ended = new Promise((done) => mock.once("exit", done));
      mock.kill();
      await ended;
    };
    try {
      await run(url, {
        kill,
        async restart() {
          ({ mock } = await start(new URL(url).port));
        },
      });
    } finally {
      await this.finish(` ${url}`);
      mock.kill();
    }
  }
}
