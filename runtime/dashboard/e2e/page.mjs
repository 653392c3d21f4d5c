// The page in a real browser, against a running server: each file of e2e/views tries one view.
//
//   node e2e/page.mjs --url http://127.0.0.1:5559 --out shots [--only grid,alerts] [--expect-rules 1] [--expect-said]
//                     [--browser /usr/bin/chromium]
//
// Exits with 0 when all held, 1 when something did not, 2 when it was called wrongly. It fails on any console error,
// page error or request to another origin, and on serious findings of axe-core.

import { readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Harness } from "./harness.mjs";

const { values: options } = parseArgs({
  options: {
    url: { type: "string" },
    out: { type: "string" },
    only: { type: "string" },
    "expect-rules": { type: "string", default: "0" },
    "expect-said": { type: "boolean", default: false },
    browser: { type: "string", default: "/usr/bin/chromium" },
  },
});
const folder = join(dirname(fileURLToPath(import.meta.url)), "views");
const known = readdirSync(folder)
  .map((file) => file.replace(/\.mjs$/u, ""))
  .sort();
const wanted = options.only?.split(",") ?? known;
const strange = wanted.filter((name) => !known.includes(name));
if (options.url === undefined || options.out === undefined || strange.length > 0) {
  if (strange.length > 0)
    console.error(`there is nothing called ${strange.join(", ")}; there are ${known.join(", ")}`);
  console.error(
    "usage: node e2e/page.mjs --url URL --out DIR [--only NAME,…] [--expect-rules N] [--expect-said] [--browser PATH]",
  );
  process.exit(2);
}

/** Tries one view after the other, in a browser of its own, as long as there are any. */
async function browse() {
  const harness = new Harness(options);
  await harness.launch();
  for (let name = wanted.shift(); name !== undefined; name = wanted.shift()) {
    const started = performance.now();
    const { run } = await import(`./views/${name}.mjs`);
    await harness.step(`${name}, all of it`, () => run(harness));
    console.log(`      ${name}: ${((performance.now() - started) / 1000).toFixed(1)} s`);
  }
  await harness.finish();
  await harness.close();
  return harness.problems.length;
}

// Much of it is waiting, so two browsers are done sooner.
const failed = (await Promise.all([browse(), browse()])).reduce((sum, one) => sum + one);
if (failed > 0) {
  console.error(`\n${failed} failed; screenshots are in ${options.out}`);
  process.exit(1);
}
console.log(`\nall held; screenshots are in ${options.out}`);
