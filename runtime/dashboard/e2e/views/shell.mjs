// The shell: navigation, keys, help, saved views, what is said without a server, and coming back.

export async function run(harness) {
  const { base } = harness;
  const page = await harness.open({ name: "shell", hash: "#/overview" });
  await harness.step("every view is an entry and a key away", async () => {
    await harness.live(page);
    const entries = page.locator(".nav a");
    harness.check((await entries.count()) === 8, "there are eight views");
    for (const [key, view] of [
      ["g", "grid"],
      ["s", "stream"],
      ["a", "alerts"],
      ["r", "rules"],
      ["b", "backtest"],
      ["t", "topology"],
      ["q", "query"],
      ["o", "overview"],
    ]) {
      await page.keyboard.press("g");
      await page.keyboard.press(key);
      await page.locator(`.view-${view}`).waitFor();
      harness.check(page.url().startsWith(new URL(`#/${view}`, base).href), `g ${key} goes to ${view}`);
    }
    await entries.nth(1).click();
    await page.locator(".view-grid").waitFor();
    await page.goBack();
    await page.locator(".view-overview").waitFor();
  });
  await harness.step("the help lists the keys of the view", async () => {
    await page.keyboard.press("g");
    await page.keyboard.press("g");
    await page.locator("#grid").waitFor();
    await page.keyboard.press("?");
    await page.locator(".help-dialog[open] .keys").first().waitFor();
    const text = await page.locator(".help-dialog").innerText();
    harness.check(text.includes("swap rows and columns"), "keys of the grid are listed");
    await harness.shot(page, "help");
    await harness.accessible(page, "help");
    await page.keyboard.press("Escape");
    await page.locator(".help-dialog[open]").waitFor({ state: "detached" });
  });
  await harness.step("the theme and the kiosk are turned by key", async () => {
    await page.keyboard.press("d");
    const theme = () => page.evaluate(() => document.documentElement.dataset.theme);
    harness.check((await theme()) === "light", "d turns to light");
    await page.keyboard.press("f");
    await page.locator(".nav").waitFor({ state: "detached" });
    harness.check(page.url().includes("kiosk=1"), "the address says kiosk");
    await page.keyboard.press("f");
    await page.locator(".nav").waitFor();
  });
  await page.context().close();

  const lost = await harness.open({
    name: "lost",
    hash: "#/grid",
    allowed: () => true,
    prepare: (lostPage) => lostPage.route("**/api/v1/**", (route) => route.abort()),
  });
  await harness.step("without a server the page says so, and comes back by itself", async () => {
    await lost.locator(".lost").waitFor();
    await lost.locator(".link-lost").waitFor();
    await harness.shot(lost, "lost");
    await harness.accessible(lost, "lost");
    await lost.unroute("**/api/v1/**");
    await harness.live(lost);
    await harness.until("streams", async () => (await harness.streams(lost)) > 0);
  });
  await lost.context().close();

  await harness.step("a server that is started anew is found again, and the page goes on", () =>
    harness.withMock(["--hosts", "10"], async (url, mock) => {
      const asked = [];
      const orphan = await harness.open({
        name: "orphan",
        url,
        hash: "#/grid?sort=worst",
        allowed: () => true,
      });
      orphan.on("request", (request) => {
        if (request.url().includes("/stream?")) asked.push(request.headers()["last-event-id"]);
      });
      await harness.until("streams", async () => (await harness.streams(orphan)) > 0);
      const before = await harness.streams(orphan);
      await mock.kill();
      await orphan.locator(".lost").waitFor();
      harness.check((await harness.streams(orphan)) > 0, "the last known state stays");
      await harness.shot(orphan, "orphan");
      await mock.restart();
      await harness.live(orphan);
      await orphan.locator(".lost").waitFor({ state: "detached" });
      harness.check(
        asked.some((id) => id !== undefined && id !== ""),
        `it says what it heard last (${asked.at(-1)})`,
      );
      await harness.until(
        "the streams of the new server",
        async () => (await harness.streams(orphan)) > before / 2,
      );
      harness.check(orphan.url().includes("sort=worst"), "the view is the same");
      await orphan.context().close();
    }),
  );
}
