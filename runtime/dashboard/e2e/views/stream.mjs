// The stream: events as they come, paused and explained; and what rules said.

export async function run(harness) {
  const rows = (page) => page.locator(".event").count();
  await harness.looks({
    name: "stream",
    hash: "#/stream",
    settle: 1_500,
    ready: (page) => harness.until("events", async () => (await rows(page)) > 8),
  });

  const page = await harness.open({
    name: "stream",
    hash: "#/stream",
    allowed: (message) => message.text().includes("400"),
  });
  await harness.step("the list is held still, and goes on", async () => {
    await harness.until("events", async () => (await rows(page)) > 8);
    await page.keyboard.press(" ");
    const first = () => page.locator(".event").first().getAttribute("id");
    const before = await first();
    await harness.until("news that wait", async () =>
      /go on, [1-9]/u.test(await page.locator(".stream-panel .tools").innerText()),
    );
    harness.check((await first()) === before, "no row moved");
    await page.keyboard.press(" ");
    await harness.until("news", async () => (await first()) !== before);
  });
  await harness.step("an event that is clicked is explained, and the address says which", async () => {
    await page.keyboard.press(" ");
    await page.locator(".event button").nth(2).click();
    await page.locator(".explain .fields").waitFor();
    const place = /event=(\d+)%3A(\d+)/u.exec(page.url());
    harness.check(place !== null, `the address holds its place in the log (${place?.[0]})`);
    await page.locator(".explain-title").waitFor();
    harness.check(
      /saw it|wanted it/u.test(await page.locator(".explain-title").innerText()),
      "it says which rules saw it",
    );
    await harness.accessible(page, "explain");
    const other = await harness.open({ name: "shared event", hash: new URL(page.url()).hash });
    await other.locator(".explain .fields").waitFor();
    await other.context().close();
    await page.keyboard.press("j");
    await harness.until("the event below it", async () => !page.url().includes(place[0]));
    await page.locator(".explain .fields").waitFor();
    await page.waitForTimeout(500);
    await harness.shot(page, "stream-explain");
    await page.keyboard.press("Escape");
    await page.locator(".explain").waitFor({ state: "detached" });
    await page.keyboard.press(" ");
  });
  await harness.step("a query narrows the tail, and an erroneous one is explained", async () => {
    await page.keyboard.press("/");
    await page.locator("#query").fill('service = "cpu"');
    await page.keyboard.press("Enter");
    await harness.until("only those", async () => {
      const names = await page.locator(".event-service").allInnerTexts();
      return names.length > 3 && names.every((name) => name === "cpu");
    });
    await page.keyboard.press("/");
    await page.locator("#query").fill("service = ");
    await page.keyboard.press("Enter");
    await page.locator(".query-error strong").waitFor();
    await page.goBack();
    await harness.until("events again", async () => (await rows(page)) > 3);
  });
  if (harness.options["expect-said"]) {
    await harness.step("rules said something", async () => {
      await page.locator(".pair button", { hasText: "what rules said" }).click();
      await page.locator(".event-rule").first().waitFor();
      await harness.shot(page, "stream-said");
      await harness.accessible(page, "what rules said");
    });
  }
  await page.context().close();

  await harness.step("a flood of events leaves the page as it is", () =>
    harness.withMock(["--hosts", "1500", "--share", "0.6"], async (url) => {
      const flood = await harness.open({ name: "flood", url, hash: "#/stream?rate=500" });
      await harness.until("a full list", async () => (await rows(flood)) >= 500);
      await flood.waitForTimeout(2_000);
      harness.check((await rows(flood)) === 500, "500 rows and no more");
      harness.check(
        /left out/u.test(await flood.locator(".stream-panel .counts").innerText()),
        "what the server left out is counted",
      );
      await flood.context().close();
    }),
  );
}
