// Backtest: a rule on the past, alone and against another version, over the metric.

import { readFileSync } from "node:fs";
import { moduleOf } from "../drop.mjs";

const done = async (page) => {
  await page.locator(".found-head").waitFor();
};

export async function run(harness) {
  await harness.withMock([], async (url) => {
    await harness.looks({
      name: "backtest-empty",
      hash: "#/backtest",
      url,
      ready: (page) => page.locator("#run-backtest").waitFor({ state: "attached" }),
    });
    const page = await harness.open({
      name: "backtest",
      url,
      hash: "#/backtest?rule=latency_state&from=-6h",
      allowed: (message) => /400/u.test(message.text()) && message.location().url.includes("/backtests"),
    });
    await harness.step("a rule is tried on the last hours, with its progress", async () => {
      await page.locator("#try").waitFor();
      await harness.until(
        "the rule",
        async () => (await page.locator("#try").inputValue()) === "latency_state",
      );
      await page.locator("#run-backtest").click();
      await page.locator('progress[aria-label="How much of the log is read"]').waitFor();
      await done(page);
      await page.locator(".lane").first().waitFor();
      await page.locator(".lanes .chart canvas").waitFor();
      harness.check(
        /would( not)? have fired/u.test(await page.locator(".found-head h3").innerText()),
        "it is told in a sentence",
      );
    });
    await harness.step("a module is compared with what runs, with other settings", async () => {
      await page.locator(".file input").setInputFiles(moduleOf("latency_state"));
      await page.locator("#with-limit_ms").fill("300");
      await page.locator("#against").selectOption("latency_state");
      await page.locator("#run-backtest").click();
      await done(page);
      await page.locator(".bar-lower").first().waitFor();
      await page.locator("td.new, td.old").first().waitFor();
      await page.locator('.log .place:text-is("src/lib.rs:87:34")').first().waitFor();
      await harness.accessible(page, "a backtest of two versions");
    });
    await harness.step("it is there as JSON and as CSV", async () => {
      const files = {};
      for (const name of ["JSON", "CSV"]) {
        const [download] = await Promise.all([
          page.waitForEvent("download"),
          page.locator(`.found-head button:text-is("${name}")`).click(),
        ]);
        files[name] = readFileSync(await download.path(), "utf8");
      }
      const report = JSON.parse(files.JSON);
      const lines = files.CSV.trim().split("\r\n");
      const intervals = report.rule.fired.intervals.length + report.against.fired.intervals.length;
      harness.check(lines.length === 1 + intervals, `the CSV has its ${intervals} intervals`);
    });
    await harness.step("a wrong time is refused in the server's words", async () => {
      const before = page.url();
      await page.locator("#from").fill("yesterday");
      await page.locator("#from").blur();
      await page.locator("#run-backtest").click();
      await page.locator(".backtest-form .complaint").waitFor();
      await page.goto(before);
    });
    const { hash } = new URL(page.url());
    await page.context().close();
    const drawn = async (other) => {
      await done(other);
      await other.locator(".lanes .chart canvas").waitFor();
    };
    await harness.looks({ name: "backtest", hash, url, ready: drawn, settle: 900 });
  });
}
