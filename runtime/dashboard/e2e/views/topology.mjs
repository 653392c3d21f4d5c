// Topology: a few rules and many, the keyboard, and where a part leads.

export async function run(harness) {
  const opened = (page) => page.locator(".side .links").first().waitFor();
  const drawn = (page) => page.locator(".node-rule").first().waitFor();
  await harness.withMock(["--rules", "4"], async (url) => {
    await harness.looks({ name: "topology", hash: "#/topology", url, ready: drawn });
    await harness.looks({ name: "topology-node", hash: "#/topology?node=output:pager", url, ready: opened });
    const page = await harness.open({ name: "topology by key", url, hash: "#/topology" });
    await harness.step("keys go from part to part, and the address follows", async () => {
      await drawn(page);
      await page.keyboard.press("j");
      await page.locator(".node-input.node-open").waitFor();
      await page.keyboard.press("ArrowRight");
      await page.locator(".node-log.node-open").waitFor();
      await page.keyboard.press("l");
      await page.locator(".node-rule.node-open").waitFor();
      harness.check(page.url().includes("node=rule"), "the address names the part");
      const focused = await page.evaluate(() => document.activeElement?.classList.contains("node-open"));
      harness.check(focused, "the focus goes along");
      await page.locator(".links button").first().click();
      await page.locator(".node-log.node-open").waitFor();
      await page.keyboard.press("Escape");
      await page.locator(".side").waitFor({ state: "detached" });
    });
    await harness.step("what fails is seen, with how full its queue is", async () => {
      const pager = page.locator(".node-critical", { hasText: "pager" });
      harness.check(/80k queued/u.test(await pager.innerText()), "its queue is told");
      await pager.locator(".node-fuller").waitFor();
    });
    await page.context().close();
  });
  await harness.withMock(["--rules", "60"], (url) =>
    harness.looks({ name: "topology-60", hash: "#/topology?node=rule:silence", url, ready: opened }),
  );
}
