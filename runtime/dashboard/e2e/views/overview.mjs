// The wall: states, rate, alerts, inputs and outputs, on screens of every size.

export async function run(harness) {
  await harness.looks({
    name: "overview",
    hash: "#/overview",
    // Some samples, so that the line has a course.
    settle: 2_500,
    async ready(page) {
      await harness.until("events per second above zero", async () =>
        /[1-9]/u.test(await page.locator(".wall-figure b").innerText()),
      );
      await page.locator(".wall-end").first().waitFor();
    },
    async each(page, look) {
      if (look === "phone") return;
      const cut = await page.evaluate(() => {
        const { clientHeight, scrollHeight } = document.querySelector("main");
        return scrollHeight - clientHeight;
      });
      harness.check(cut <= 0, `overview in ${look}: it all fits without scrolling`);
    },
  });
  const wall = await harness.open({ name: "wall", width: 3840, height: 2160, hash: "#/overview?kiosk=1" });
  await harness.step("overview on a wall of 4K", async () => {
    await harness.live(wall);
    await wall.locator(".wall-end").first().waitFor();
    await wall.waitForTimeout(2_000);
    await harness.shot(wall, "overview-wall");
    const big = await wall.evaluate(() =>
      Number.parseFloat(getComputedStyle(document.querySelector(".wall-total b")).fontSize),
    );
    harness.check(big > 150, `its numbers are ${big} px high`);
  });
  await harness.step("news keep coming", async () => {
    const uptime = () => wall.locator(".up").getAttribute("title");
    const before = await uptime();
    await harness.until("the uptime to move", async () => (await uptime()) !== before);
  });
  await harness.step("a total leads to its streams", async () => {
    await wall.locator(".wall-total").last().click();
    await wall.locator(".view-grid").waitFor();
    harness.check(wall.url().includes("state"), "the address holds the query");
  });
  await wall.context().close();
  await harness.step("trouble of the node stands on top, and the oldest alert is a key away", () =>
    harness.withMock([], async (url) => {
      const bad = await harness.open({ name: "trouble", url, hash: "#/overview" });
      await bad.locator(".wall-banner").first().waitFor();
      const oldest = await bad.locator(".wall-oldest bdi").first().innerText();
      await bad.keyboard.press("Enter");
      await bad.locator(".alert-open", { hasText: oldest }).waitFor();
      await bad.context().close();
    }),
  );
  await harness.step("with no events the page says how to send the first", () =>
    harness.withMock(["--empty"], async (url) => {
      const empty = await harness.open({ name: "empty", url, hash: "#/overview" });
      await empty.locator(".empty pre").waitFor();
      const text = await empty.locator(".empty pre").innerText();
      harness.check(text.includes(`${url}/api/v1/events`), "it names this server's address");
      await harness.shot(empty, "overview-empty");
      await harness.accessible(empty, "empty");
      await empty.context().close();
    }),
  );
}
