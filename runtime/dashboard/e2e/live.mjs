// The way of a rule through the page of a real node: dropped onto it and deployed, tried on the past, replaced, rolled
// back; its alerts acknowledged and silenced. Then what a node must do for pages that are open for long: tell them what no
// longer matches, and take them up again after it was killed.
//
//   node e2e/live.mjs --tidegate target/release/tidegate --out shots [--browser /usr/bin/chromium]
//
// Starts a node of its own, with a simulated fleet whose hosts get into trouble, in a folder that it removes. Exits with 0
// when all held, 1 when something did not, 2 when it was called wrongly.

import { parseArgs } from "node:util";
import { drop, moduleOf } from "./drop.mjs";
import { Harness } from "./harness.mjs";
import { startNode } from "./node.mjs";

const { values: options } = parseArgs({
  options: {
    tidegate: { type: "string" },
    out: { type: "string" },
    browser: { type: "string", default: "/usr/bin/chromium" },
  },
});
if (options.tidegate === undefined || options.out === undefined) {
  console.error("usage: node e2e/live.mjs --tidegate PROGRAM --out DIR [--browser PATH]");
  process.exit(2);
}

const SETTINGS = `
[http]
address = "127.0.0.1:0"
token = "open-sesame-open-sesame"

[websocket]
enabled = false

[inputs.fleet]
type = "fleet"
hosts = 24
services = 12
every = "500ms"
incidents = "10s"

[outputs.oncall]
type = "alerts"
`;

const TOKEN = "open-sesame-open-sesame";
const RULE = "slow-requests";
const row = (page) => page.locator(".rule", { has: page.locator(`bdi:text-is("${RULE}")`) });
const generation = (page, number) => row(page).locator(`text=/generation ${number}\\b/`);

async function settle(page, fields) {
  const ask = page.locator("dialog.ask[open]");
  await ask.waitFor();
  for (const [name, value] of Object.entries(fields)) await ask.locator(`#ask-${name}`).fill(value);
  await ask.locator("button[type=submit]").click();
  await ask.waitFor({ state: "detached" });
}

/** Says the token that the node asks for. */
async function token(harness, page, text) {
  await page.locator(".unlock input").waitFor();
  await harness.shot(page, "live-locked");
  await page.locator(".unlock input").fill(text);
  await page.locator(".unlock input").press("Enter");
  await harness.until(
    "another question or none",
    async () =>
      (await page.locator(".unlock").count()) === 0 ||
      (await page.locator(".unlock input").inputValue()) === "",
  );
}

async function deployed(page) {
  await page.locator(".verdict.ink-ok").waitFor();
  await page.locator(".deploy-end .primary").click();
  await page.locator(".deploy").waitFor({ state: "detached" });
}

async function run(harness, page) {
  const api = async (path) => (await fetch(new URL(`api/v1/${path}`, harness.base))).json();
  const trial = page.locator(".side .trial");
  const tryOut = async (how, limit) => {
    await drop(page, moduleOf("latency_state"));
    await page.locator(".deploy #name").fill(RULE);
    await harness.until(
      "what runs",
      async () => (await page.locator("#set-limit_ms").inputValue()) === "200",
    );
    await page.locator("#set-limit_ms").fill(limit);
    await page.locator(`input[value="${how}"]`).check();
    if (how === "canary") await page.locator("#percent").fill("50");
    await deployed(page);
    await trial.waitFor();
  };
  await harness.step("a module that is dropped onto the page is deployed, and runs", async () => {
    await harness.live(page);
    await drop(page, moduleOf("latency_state"));
    await token(harness, page, "something-else-entirely");
    await token(harness, page, TOKEN);
    await page.locator("#name").waitFor();
    await page.locator("#name").fill(RULE);
    await page.locator("#set-limit_ms").fill("250");
    await page.locator("#where").fill('service =~ "http.% latency"');
    await page.locator("#to-pager").selectOption("oncall");
    await page.locator(".signed input").fill("eve");
    await page.locator(".verdict.ink-ok").waitFor();
    await harness.shot(page, "live-deploy");
    await deployed(page);
    await generation(page, 1).waitFor();
    await harness.until("events", async () => (await api(`rules/${RULE}`)).events > 0);
    await harness.until("a rate on the page", async () =>
      /[1-9]/u.test(await page.locator(".rate b").innerText()),
    );
    const rule = await api(`rules/${RULE}`);
    harness.check(
      rule.set.limit_ms === "250" && rule.outputs.pager === "oncall",
      "with the settings of the form",
    );
    harness.check(/^eve\b/u.test(rule.by), `by who deployed it (${rule.by})`);
    await harness.shot(page, "live-rule");
    await harness.accessible(page, "live-rule");
  });
  await harness.step("what the node refuses stands beside its field", async () => {
    await drop(page, moduleOf("latency_state"));
    await page.locator(".deploy #name").fill(RULE);
    await page.locator("#where").fill('service = = "x"');
    await harness.until(
      "what runs",
      async () => (await page.locator("#set-limit_ms").inputValue()) === "250",
    );
    const field = page.locator(".field", { has: page.locator("#where") });
    await field.locator(".complaint").waitFor();
    await page.locator("#where").fill("");
    await field.locator(".complaint").waitFor({ state: "detached" });
    await page.locator('button[aria-label="Put this module away"]').click();
  });
  await harness.step("another limit is another generation, and the one before it comes back", async () => {
    await drop(page, moduleOf("latency_state"));
    await page.locator(".deploy #name").fill(RULE);
    await harness.until(
      "what runs",
      async () => (await page.locator("#set-limit_ms").inputValue()) === "250",
    );
    harness.check(
      (await page.locator("#where").inputValue()) === 'service =~ "http.% latency"',
      "the query of what runs is kept",
    );
    await page.locator("#set-limit_ms").fill("100");
    await deployed(page);
    await generation(page, 2).waitFor();
    harness.check((await api(`rules/${RULE}`)).set.limit_ms === "100", "the new limit is in force");
    await page.locator('.side-tools button:text-is("roll back…")').click();
    await settle(page, { reason: "too loud" });
    await generation(page, 3).waitFor();
    harness.check((await api(`rules/${RULE}`)).set.limit_ms === "250", "the old limit is in force again");
    await page.locator('[role="tab"]:text-is("history")').click();
    await page.locator('.past q:text-is("too loud")').waitFor();
    await harness.shot(page, "live-history");
  });
  await harness.step("its settings are changed without its file", async () => {
    await page.locator('.side-tools button:text-is("settings…")').click();
    await settle(page, { "set\\.limit_ms": "200" });
    await generation(page, 4).waitFor();
    const { set, outputs, query } = await api(`rules/${RULE}`);
    harness.check(
      set.limit_ms === "200" && outputs.pager === "oncall",
      "the limit is another, the output is not",
    );
    harness.check(query === 'service =~ "http.% latency"', "and neither is the query");
  });
  await harness.step(
    "a shadow of it is compared and given up, a canary speaks for some and is promoted",
    async () => {
      await tryOut("shadow", "100");
      harness.check(/^Shadow/u.test(await trial.locator("h3").innerText()), "it runs as a shadow");
      await harness.until(
        "what only the shadow asks for",
        async () => (await api(`rules/${RULE}`)).trial.only_new > 0,
      );
      harness.check(
        (await api(`rules/${RULE}`)).set.limit_ms === "200",
        "the rule speaks with its own limit",
      );
      await harness.shot(page, "live-shadow");
      await trial.locator('button:text-is("give up…")').click();
      await settle(page, { reason: "too loud" });
      await trial.waitFor({ state: "detached" });
      harness.check((await api(`rules/${RULE}`)).trial === null, "nothing is tried any more");
      await tryOut("canary", "220");
      harness.check(/50 %/u.test(await trial.locator("h3").innerText()), "a canary on half of the keys");
      await harness.until("its events", async () => (await api(`rules/${RULE}`)).trial.events > 0);
      await trial.locator('button:text-is("promote…")').click();
      await settle(page, {});
      await trial.waitFor({ state: "detached" });
      const { set } = await api(`rules/${RULE}`);
      harness.check(set.limit_ms === "220", `it speaks for all keys (${set.limit_ms})`);
      await page.locator('.side-tools button:text-is("settings…")').click();
      await settle(page, { "set\\.limit_ms": "200" });
      await harness.until(
        "the limit before",
        async () => (await api(`rules/${RULE}`)).set.limit_ms === "200",
      );
    },
  );
  await harness.step("what its keys remember is shown", async () => {
    await page.locator('[role="tab"]:text-is("state")').click();
    await page.locator(".key").first().waitFor();
    await harness.shot(page, "live-state");
    await page.locator('[role="tab"]:text-is("log")').click();
    await page.locator(".side-body .filter").waitFor();
  });
  await harness.step("its alerts are acknowledged, silenced, and say why", async () => {
    await page.keyboard.press("Escape");
    await page.keyboard.press("g");
    await page.keyboard.press("a");
    await page.locator(".alert-firing").first().waitFor({ timeout: 60_000 });
    await page.locator(".alert-firing button").first().click();
    const id = new URLSearchParams(page.url().split("?")[1]).get("alert");
    await page.locator(".why .events tbody tr").first().waitFor();
    harness.check((await page.locator(".why").innerText()).includes(RULE), "the rule is named");
    await page.keyboard.press("a");
    const alert = async () => api(`alerts/${id}`);
    await harness.until("the acknowledgement", async () => (await alert()).acknowledged?.by === "eve");
    await page.locator(`#alert-${id} .mark-ack`).waitFor();
    await harness.shot(page, "live-alert");
    await harness.accessible(page, "live-alert");
    await page.keyboard.press("x");
    await settle(page, { reason: "we know", for: "30m" });
    await harness.until("the silence", async () => (await alert()).silence !== null);
    const { silences } = await api("silences");
    harness.check(silences.length === 1 && silences[0].by === "eve", "the silence is kept, with who made it");
    await page.locator('.tabs button:has-text("silences")').click();
    await page.locator(".silence").waitFor();
    await page.locator(".silence button").click();
    await settle(page, {});
    await harness.until("its end", async () => (await alert()).silence === null);
  });
  await harness.step("the rule is tried on the past, and with another limit beside it", async () => {
    await page.goto(new URL(`#/backtest?rule=${RULE}`, harness.base).href);
    await harness.until("the rule", async () => (await page.locator("#try").inputValue()) === RULE);
    await page.locator("summary").first().click();
    await page.locator("#with-limit_ms").fill("150");
    await page.locator("#against").selectOption(RULE);
    await page.locator("#run-backtest").click();
    await page.locator(".found-head").waitFor({ timeout: 60_000 });
    const id = new URLSearchParams(page.url().split("?")[1]).get("id");
    const { report } = await api(`backtests/${id}`);
    harness.check(
      report.rule.set.limit_ms === "150" && report.against.set.limit_ms === "200",
      "both limits were tried",
    );
    harness.check(
      report.rule.fired.count >= report.against.fired.count,
      "the lower limit fires no less often",
    );
    await page.waitForTimeout(500);
    await harness.shot(page, "live-backtest");
    await harness.accessible(page, "live-backtest");
  });
  await harness.step("the way of its events is drawn", async () => {
    await page.goto(new URL(`#/topology?node=rule:${RULE}`, harness.base).href);
    await page.locator(".node-rule.node-open").waitFor();
    await page.locator(".links", { hasText: "oncall" }).waitFor();
    await harness.shot(page, "live-topology");
    await harness.accessible(page, "live-topology");
  });
  await harness.step("it is removed", async () => {
    await page.goto(new URL(`#/rules?rule=${RULE}`, harness.base).href);
    await page.locator(".tool-danger").click();
    await settle(page, {});
    await row(page).waitFor({ state: "detached" });
  });
}

/** What pages that are open for long need. */
async function last(harness, page, node) {
  const say = async (metric) => {
    const event = { host: "lone", service: "wolf", metric, ttl: 600 };
    const body = JSON.stringify(event);
    const headers = { "content-type": "application/json" };
    const answer = await fetch(new URL("api/v1/events", harness.base), { method: "POST", headers, body });
    if (!answer.ok) throw new Error(await answer.text());
  };
  const where = encodeURIComponent('service = "wolf" and metric > 5');
  const alone = "open=stream&host=lone&service=wolf";
  await harness.step("what no longer matches leaves the grid, and comes back when it does", async () => {
    await say(9);
    await page.goto(new URL(`#/grid?q=${where}`, harness.base).href);
    await harness.until("the stream", async () => (await harness.streams(page)) === 1);
    await say(1);
    await harness.until("its end", async () => (await harness.streams(page)) === 0);
    await say(8);
    await harness.until("its return", async () => (await harness.streams(page)) === 1);
  });
  await harness.step("a stream beside another view is as it is now", async () => {
    await page.goto(new URL(`#/grid?q=${where}&${alone}`, harness.base).href);
    await page.locator(".detail-body .huge", { hasText: "8" }).waitFor();
    await page.goto(new URL(`#/alerts?${alone}`, harness.base).href);
    await say(77);
    await page.locator(".detail-body .huge", { hasText: "77" }).waitFor();
  });
  await harness.step("a grid that is paused stands still, and goes on with what is so then", async () => {
    await page.goto(new URL(`#/grid?q=${where}`, harness.base).href);
    await harness.until("the stream", async () => (await harness.streams(page)) === 1);
    await page.locator("#grid").focus();
    await page.keyboard.press(" ");
    await page.locator('.tools button:has-text("go on")').waitFor();
    await say(1);
    await page.waitForTimeout(1_500);
    harness.check((await harness.streams(page)) === 1, "nothing moves");
    await page.keyboard.press(" ");
    await harness.until("what is so", async () => (await harness.streams(page)) === 0);
  });
  await harness.step(
    "a node that is killed and started again is found again, and the page goes on",
    async () => {
      await page.goto(new URL("#/grid?sort=worst", harness.base).href);
      await harness.until("streams", async () => (await harness.streams(page)) > 50);
      const before = await harness.streams(page);
      await node.kill();
      await page.locator(".lost").waitFor();
      harness.check((await harness.streams(page)) > 50, "the last known state stays");
      await node.restart();
      await harness.live(page);
      await page.locator(".lost").waitFor({ state: "detached" });
      await harness.until("its streams", async () => (await harness.streams(page)) > before / 2);
      harness.check(page.url().includes("sort=worst"), "the view is the same");
    },
  );
}

let problems = 1;
let node = null;
try {
  node = await startNode(options.tidegate, SETTINGS);
  const harness = new Harness({ ...options, url: node.page });
  await harness.launch();
  const page = await harness.open({
    name: "live",
    hash: "#/overview",
    // The node refuses what we ask it to refuse, and is not there while it is not.
    allowed: (message) =>
      (/422/u.test(message.text()) && message.location().url.includes("/api/v1/rules/")) ||
      (/401/u.test(message.text()) && message.location().url.includes("/api/v1/modules/inspect")) ||
      /net::ERR_/u.test(message.text()),
  });
  await harness.step("live, all of it", () => run(harness, page));
  await harness.step("for long, all of it", () => last(harness, page, node));
  await harness.close();
  problems = harness.problems.length;
} catch (error) {
  console.error(error);
} finally {
  await node?.stop();
}
console.log(problems > 0 ? `\n${problems} failed; screenshots are in ${options.out}` : "\nall held");
process.exit(problems > 0 ? 1 : 0);
