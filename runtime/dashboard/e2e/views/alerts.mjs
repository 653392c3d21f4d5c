// Alerts: the log, why there is one, and what people do about it.

const row = (page) => page.locator(".alert");

async function fill(page, fields) {
  const ask = page.locator("dialog.ask[open]");
  await ask.waitFor();
  for (const [name, value] of Object.entries(fields)) await ask.locator(`#ask-${name}`).fill(value);
}

async function looks(harness, url) {
  const listed = (page) => row(page).nth(3).waitFor();
  await harness.looks({ name: "alerts", hash: "#/alerts", url, ready: listed });
  const page = await harness.open({ name: "an alert", url, hash: "#/alerts" });
  await listed(page);
  await row(page).first().locator("button").click();
  await page.locator(".why").waitFor();
  const { hash } = new URL(page.url());
  await page.context().close();
  await harness.looks({
    name: "alert",
    hash,
    url,
    ready: (other) => other.locator(".why").waitFor(),
    settle: 900,
  });
  const silences = (other) => other.locator(".silence").first().waitFor();
  await harness.looks({ name: "silences", hash: "#/alerts?show=silences", url, ready: silences });
}

async function work(harness, url) {
  const page = await harness.open({
    name: "alerts at work",
    url,
    hash: "#/alerts",
    allowed: (message) => /400/u.test(message.text()) && message.location().url.includes("/api/v1/"),
  });
  const firing = page.locator(".alert-firing");
  await firing.first().waitFor();
  await harness.step("a acknowledges the alert that is open, and asks for a name once", async () => {
    await page.keyboard.press("j");
    await page.locator(".alert-firing.alert-open").waitFor();
    const id = await page.locator(".alert-open").getAttribute("id");
    await page.keyboard.press("a");
    await fill(page, { by: "eve", note: "looking" });
    await harness.accessible(page, "acknowledge");
    await page.keyboard.press("Enter");
    const mark = page.locator(`#${id} .mark-ack`);
    await harness.until("its mark", async () => (await mark.innerText()) === "eve");
    await page.locator('.side q:text-is("looking")').first().waitFor();
    await page.keyboard.press("u");
    await mark.waitFor({ state: "detached" });
    await page.keyboard.press("a");
    await mark.waitFor();
    harness.check(
      (await page.locator("dialog.ask[open]").count()) === 0,
      "the name is known the second time",
    );
  });
  await harness.step("x silences it with a reason and an end", async () => {
    const id = await page.locator(".alert-open").getAttribute("id");
    await page.keyboard.press("x");
    await fill(page, { for: "many", reason: "disk swap" });
    const query = await page.locator("#ask-query").inputValue();
    harness.check(
      /host = ".+" and service = ".+"/u.test(query),
      `the query is that of its stream (${query})`,
    );
    await page.locator('dialog.ask button:text-is("silence")').click();
    await page.locator("dialog.ask .complaint").waitFor();
    await page.locator('dialog.ask button:text-is("8h")').click();
    await harness.shot(page, "silence");
    await harness.accessible(page, "silence");
    await page.locator('dialog.ask button:text-is("silence")').click();
    await page.locator(`#${id}.alert-silenced`).waitFor();
    await page.locator('.tabs button:has-text("silences")').click();
    const mine = page.locator(".silence", { hasText: "disk swap" }).last();
    await mine.waitFor();
    await mine.locator("button").click();
    await page.locator('dialog.ask button:text-is("end it")').click();
    await mine.locator('b:text-is("over")').waitFor();
    await page.locator('.tabs button:has-text("open")').first().click();
    await page.locator(`#${id}.alert-silenced`).waitFor({ state: "detached" });
  });
  await harness.step("several are marked and resolved together", async () => {
    await page.keyboard.press("Escape");
    await row(page).nth(1).waitFor();
    const ids = [];
    for (const n of [0, 1]) {
      ids.push(await row(page).nth(n).getAttribute("id"));
      await row(page).nth(n).locator("input").check();
    }
    await page.locator('.bulk button:text-is("resolve…")').click();
    await fill(page, { note: "false alarm" });
    await page.locator('dialog.ask button:text-is("resolve")').click();
    for (const id of ids) await page.locator(`#${id}`).waitFor({ state: "detached" });
    harness.check(!/marked/u.test(await page.locator(".bulk .check").innerText()), "nothing is marked now");
    await page.locator('.tabs button:text-is("resolved")').click();
    for (const id of ids) await page.locator(`#${id}.alert-resolved`).waitFor();
  });
  await harness.step("a query filters them, and a wrong one is explained", async () => {
    await page.locator('.tabs button:has-text("all")').click();
    await page.keyboard.press("/");
    await page.keyboard.type('host = "nobody"');
    await page.keyboard.press("Enter");
    await page.locator(".calm").waitFor();
    harness.check(page.url().includes("where="), "the address has the query");
    await page.locator(".filter input").fill("host = = 3");
    await page.keyboard.press("Enter");
    await page.locator(".filter .complaint").waitFor();
    await page.locator(".filter input").fill("");
    await row(page).first().waitFor();
  });
  await page.context().close();
}

export async function run(harness) {
  await harness.withMock([], async (url) => {
    await looks(harness, url);
    await work(harness, url);
  });
  await harness.step("when all is well the page says so", () =>
    harness.withMock(["--empty"], async (url) => {
      const calm = await harness.open({ name: "calm", url, hash: "#/alerts" });
      await calm.locator(".calm").waitFor();
      await harness.shot(calm, "alerts-calm");
      await harness.accessible(calm, "calm");
      await calm.context().close();
    }),
  );
}
