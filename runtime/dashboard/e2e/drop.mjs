// Dropping a file onto a page, as the browser does it for a person.

import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const RULES = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "rules");

/** A module of the repository, such as `latency_state`. */
export const moduleOf = (name) => join(RULES, `${name}.wasm`);

async function transfer(page, path, name) {
  const text = readFileSync(path).toString("base64");
  return page.evaluateHandle(
    ([text, name]) => {
      const bytes = Uint8Array.from(atob(text), (letter) => letter.codePointAt(0));
      const data = new DataTransfer();
      data.items.add(new File([bytes], name, { type: "application/wasm" }));
      return data;
    },
    [text, name],
  );
}

/** Drags a file over the page, calls `over` while it hangs there, and lets it go. */
export async function drop(page, path, over = async () => {}) {
  const dataTransfer = await transfer(page, path, path.split("/").at(-1));
  const event = (name) => page.dispatchEvent("body", name, { dataTransfer });
  await event("dragenter");
  await event("dragover");
  await page.locator(".veil").waitFor();
  await over();
  await event("drop");
  await page.locator(".veil").waitFor({ state: "detached" });
}
