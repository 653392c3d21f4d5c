// The query: proposals while typing, an error underlined before it is tried, results as a table, views that are saved.

export async function run(harness) {
  const { base } = harness;
  const rows = (page) => page.locator(".results tbody tr").count();
  await harness.looks({
    name: "query",
    hash: `#/query?q=${encodeURIComponent('service = "cpu" or service = "load"')}`,
    ready: (page) => harness.until("rows", async () => (await rows(page)) > 3),
  });

  const page = await harness.open({
    name: "query",
    hash: "#/query",
    allowed: (message) => message.text().includes("400"),
  });
  const field = page.locator("#query");
  await harness.step("a query is written with the keyboard and proposals alone", async () => {
    await harness.until("rows", async () => (await rows(page)) > 3);
    await page.keyboard.press("/");
    await field.pressSequentially("ser");
    await page.locator(".query-list [role=option]").first().waitFor();
    await page.keyboard.press("Tab");
    await harness.until("the field", async () => (await field.inputValue()) === "service ");
    await page.locator(".query-list .kind-operator").first().waitFor();
    // Which operator comes first is the server's business.
    const chosen = page.locator(".query-list [aria-selected=true] code");
    for (let n = 0; n < 9 && (n === 0 || (await chosen.innerText()) !== "="); n++)
      await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Enter");
    await harness.until("an operator", async () => (await field.inputValue()) === "service = ");
    await page.locator(".query-list .kind-service").first().waitFor();
    await harness.shot(page, "query-complete");
    await harness.accessible(page, "proposals");
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Enter");
    await harness.until("a value", async () => /^service = "[^"]+" $/u.test(await field.inputValue()));
    await page.keyboard.press("Enter");
    await harness.until("the address", async () => page.url().includes("service"));
    await harness.until("only one service", async () => {
      const names = await page.locator(".results tbody th").allInnerTexts();
      return names.length > 0 && new Set(names).size === 1;
    });
  });
  await harness.step("an error is underlined while typing, before anybody asks", async () => {
    await field.fill('state == "ok"');
    await page.locator(".query-error strong").waitFor();
    harness.check((await page.locator(".mirror u").count()) === 1, "the place is underlined");
    await harness.shot(page, "query-wrong");
    await page.keyboard.press("Escape");
    await page.keyboard.press("Escape");
    await page.locator(".query-error").waitFor({ state: "detached" });
  });
  await harness.step("a view is saved on the server, found again from elsewhere, and deleted", async () => {
    const name = `e2e ${Date.now()}`;
    await page.locator("h1").click();
    await page.keyboard.press("v");
    await page.locator(".views-dialog[open]").waitFor();
    await page.locator(".saved-new input").nth(1).fill("Åsa");
    await page.locator(".saved-new input").first().fill(name);
    await page.locator(".saved-new .primary").click();
    const mine = (where) => where.locator(".saved-view", { hasText: name });
    await mine(page).waitFor();
    await mine(page).locator("select").selectOption("9");
    await harness.until("its key", async () => (await mine(page).locator("select").inputValue()) === "9");
    // Saved again under its name it keeps its key, and says that it replaces something.
    await page.locator(".saved-new input").first().fill(name);
    await page.locator('.saved-new .primary:text-is("Replace")').click();
    await harness.until(
      "the name to be taken",
      async () => (await page.locator(".saved-new input").first().inputValue()) === "",
    );
    harness.check((await mine(page).locator("select").inputValue()) === "9", "it keeps its key");
    await page.waitForTimeout(200);
    await harness.shot(page, "views");
    await harness.accessible(page, "views");
    const other = await harness.open({ name: "other", url: base, hash: "#/overview" });
    await harness.live(other);
    await other.keyboard.press("9");
    await other.locator(".view-query").waitFor();
    harness.check(other.url().includes("service"), "a key opens it elsewhere, with its query");
    await other.context().close();
    await mine(page).locator("button", { hasText: "delete" }).click();
    await mine(page).waitFor({ state: "detached" });
    await page.keyboard.press("Escape");
  });
  await page.context().close();
}
