// Rules: the list, one of them, and a module's way from a drop to a deployment, back, and out.

import { drop, moduleOf } from "../drop.mjs";

const ALL = ["--rules", "14"];

const row = (page, name) => page.locator(".rule", { has: page.locator(`bdi:text-is("${name}")`) });

/** Fills in the question that is open, and answers it. */
async function answer(page, fields, button) {
  const ask = page.locator("dialog.ask[open]");
  await ask.waitFor();
  for (const [name, value] of Object.entries(fields)) await ask.locator(`#ask-${name}`).fill(value);
  await ask.locator(`button:text-is("${button}")`).click();
  await ask.waitFor({ state: "detached" });
}

async function looks(harness, url) {
  const listed = (page) => page.locator(".rule").first().waitFor();
  await harness.looks({ name: "rules", hash: "#/rules", url, ready: listed, settle: 3_500 });
  const open = (page) => page.locator(".side .trial").waitFor();
  await harness.looks({ name: "rule", hash: "#/rules?rule=latency_state", url, ready: open, settle: 3_500 });
  const forms = async (page) => {
    await listed(page);
    await drop(page, moduleOf("latency_state"));
    await page.locator("#name").fill("silence");
    await page.locator(".changes").waitFor();
    await page.locator("#set-limit_ms").fill("250");
    await page.locator(".verdict.ink-ok").waitFor();
  };
  await harness.looks({ name: "deploy", hash: "#/rules", url, ready: forms });
}

async function deployment(harness, url) {
  const page = await harness.open({
    name: "deployment",
    url,
    hash: "#/overview",
    allowed: (message) => message.location().url.includes("/api/v1/rules/"),
  });
  await harness.live(page);
  await harness.step("a module that is dropped anywhere shows what it says about itself", async () => {
    await drop(page, moduleOf("latency_state"), () => harness.shot(page, "drop"));
    await page.locator(".deploy h2").waitFor();
    await page.locator("#set-limit_ms").waitFor();
    harness.check(
      (await page.locator("#name").inputValue()) === "latency-state",
      "the rule has a usual name",
    );
    harness.check((await page.locator("#set-every").inputValue()) === "5s", "defaults are filled in");
    await page.locator("#to-board").waitFor();
    await page.locator("#to-pager").waitFor();
  });
  await harness.step("what the server refuses stands beside its field", async () => {
    const problem = page.locator(".field", { has: page.locator("#set-limit_ms") }).locator(".complaint");
    harness.check(
      /limit_ms/u.test(await page.locator(".verdict").innerText()),
      "what is still needed is named",
    );
    await page.locator("#set-limit_ms").fill("many");
    await harness.until("a complaint", async () => /number was expected/u.test(await problem.innerText()));
    harness.check(await page.locator(".deploy-end .primary").isDisabled(), "it cannot be deployed so");
    await harness.shot(page, "deploy-refused");
    await harness.accessible(page, "deploy-refused");
  });
  await harness.step("it is deployed, and runs", async () => {
    await page.locator("#set-limit_ms").fill("300");
    await page.locator("#to-pager").selectOption("pager");
    await page.locator(".signed input").fill("eve");
    await page.locator(".verdict.ink-ok").waitFor();
    await page.locator(".deploy-end .primary").click();
    await page.locator(".notice").waitFor();
    await row(page, "latency-state").waitFor();
    const side = page.locator(".side");
    await harness.until("its settings", async () => /limit_ms = 300/u.test(await side.innerText()));
    harness.check(/pager → pager/u.test(await side.innerText()), "its output is as chosen");
    harness.check(page.url().includes("rule=latency-state"), "the address names the rule");
  });
  await harness.step("its settings are changed without its file", async () => {
    await page.locator('.side-tools button:text-is("settings…")').click();
    await page.locator("dialog.ask[open]").waitFor();
    await harness.shot(page, "settings");
    await harness.accessible(page, "settings");
    await page.locator('[id="ask-set.limit_ms"]').fill("275");
    await page.locator('dialog.ask button:text-is("deploy")').click();
    await harness.until("its settings", async () =>
      /limit_ms = 275/u.test(await page.locator(".side").innerText()),
    );
  });
  await harness.step("another version over it is told apart, tried as a canary, and promoted", async () => {
    await drop(page, moduleOf("error_ratio"));
    await page.locator(".deploy h2").waitFor();
    await page.locator("#name").fill("latency-state");
    await page.locator(".changes td.new").first().waitFor();
    await page.locator('input[value="canary"]').check();
    await page.locator("#percent").fill("10");
    await page.locator(".verdict.ink-ok").waitFor();
    await page.locator(".deploy-end .primary").click();
    await page.locator(".side .trial").waitFor();
    harness.check(/10 %/u.test(await page.locator(".trial h3").innerText()), "a canary on 10 % of the keys");
    await page.locator('.trial button:text-is("promote…")').click();
    await answer(page, {}, "promote");
    await page.locator(".trial").waitFor({ state: "detached" });
    await harness.until("its generation", async () =>
      /generation 3/u.test(await page.locator(".side .counts").innerText()),
    );
  });
  await harness.step("it is rolled back with a reason, which its history keeps", async () => {
    await page.locator('.side-tools button:text-is("roll back…")').click();
    await page.locator("dialog.ask[open]").waitFor();
    await harness.shot(page, "rollback");
    await harness.accessible(page, "rollback");
    await answer(page, { reason: "too loud" }, "roll back");
    await page.locator('[role="tab"]:text-is("history")').click();
    await page.locator('.past q:text-is("too loud")').waitFor();
    await harness.shot(page, "rule-history");
    await harness.accessible(page, "rule-history");
  });
  await harness.step("it pauses, goes on, and is removed after a question", async () => {
    await page.locator('.side-tools button:text-is("pause")').click();
    await row(page, "latency-state").locator("text=paused").waitFor();
    await page.locator('.side-tools button:text-is("go on")').click();
    await page.locator('.side-tools button:text-is("remove…")').click();
    await answer(page, {}, "remove");
    await row(page, "latency-state").waitFor({ state: "detached" });
  });
  await harness.step("what is no module is refused at once", async () => {
    await drop(page, moduleOf("latency_state").replace(/rules\/.*$/u, "Cargo.toml"));
    await page.locator(".notice-bad").waitFor();
    harness.check((await page.locator(".deploy").count()) === 0, "nothing opens");
  });
  await page.context().close();
}

async function keyboard(harness, url) {
  const page = await harness.open({ name: "rules by key", url, hash: "#/rules" });
  await harness.step("keys walk the list, and turn the parts of a rule", async () => {
    await page.locator(".rule").nth(3).waitFor();
    await page.keyboard.press("j");
    await page.keyboard.press("j");
    const name = await page.locator(".rule-open bdi").innerText();
    harness.check(page.url().includes(`rule=${name}`), "the address follows");
    await page.keyboard.press("l");
    await page.locator(".log").waitFor();
    await page
      .locator(".log .place")
      .first()
      .waitFor({ state: "attached" })
      .catch(() => {});
    await page.keyboard.press("Escape");
    await page.locator(".side").waitFor({ state: "detached" });
    await page.keyboard.press("/");
    await page.keyboard.type("queue");
    await harness.until("one row", async () => (await page.locator(".rule").count()) === 1);
  });
  await harness.step("a fault names its place in the source", async () => {
    await page.goto(new URL("#/rules?rule=queue_stall&tab=log", url).href);
    await page.locator('.log .place:text-is("src/lib.rs:87:34")').first().waitFor();
    await page.locator("text=12 older lines").waitFor();
    await harness.shot(page, "rule-log");
    await harness.accessible(page, "rule-log");
  });
  await harness.step("what a key remembers is shown, and the address names the key", async () => {
    await page.goto(new URL("#/rules?rule=latency_state&tab=state", url).href);
    await page.locator(".key").nth(3).waitFor();
    const key = "web-01.fra1.example.net/api latency p50";
    await page.locator('input[aria-label="Key"]').fill(key);
    await page.keyboard.press("Enter");
    await harness.until("one key", async () => (await page.locator(".key").count()) === 1);
    harness.check(
      new URLSearchParams(page.url().split("?")[1]).get("key") === key,
      "the address has the key",
    );
    await page.locator(".key .fields").waitFor();
    await harness.shot(page, "rule-state");
    await harness.accessible(page, "rule-state");
  });
  await page.context().close();
}

export async function run(harness) {
  const wanted = Number(harness.options["expect-rules"]);
  if (wanted > 0) {
    const page = await harness.open({ name: "rules", hash: "#/rules" });
    await harness.step(`at least ${wanted} rules are listed`, () =>
      harness.until("rules", async () => (await page.locator(".rule").count()) >= wanted),
    );
    await page.context().close();
  }
  await harness.withMock(ALL, async (url) => {
    await looks(harness, url);
    await deployment(harness, url);
    await keyboard(harness, url);
  });
  await harness.step("of ten thousand rules the busiest are listed, and any can be found", () =>
    harness.withMock(["--rules", "10000", "--hosts", "20"], async (url) => {
      const many = await harness.open({ name: "many rules", url, hash: "#/rules" });
      await harness.until("rules", async () => (await many.locator(".rule").count()) > 50);
      harness.check((await many.locator(".rule").count()) <= 200, "no more than 200 are listed");
      harness.check(
        /10\s?000 deployed/u.test(await many.locator(".list .counts").innerText()),
        "all are counted",
      );
      await many.locator(".find").fill("customer-07");
      await harness.until("only those", async () => {
        const names = await many.locator(".rule bdi").allInnerTexts();
        return names.length === 200 && names.every((name) => name.startsWith("customer-07"));
      });
      await harness.shot(many, "many-rules");
      await harness.accessible(many, "many rules");
      await many.context().close();
    }),
  );
  await harness.step("without rules the page says how to begin", () =>
    harness.withMock(["--empty"], async (url) => {
      const empty = await harness.open({ name: "no rules", url, hash: "#/rules" });
      await empty.locator(".nothing").waitFor();
      await harness.shot(empty, "no-rules");
      await harness.accessible(empty, "no rules");
      await empty.context().close();
    }),
  );
}
