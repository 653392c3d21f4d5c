// A real node for the time of a test, with its data in a folder that goes with it.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

/** Starts the program with these settings. Gives the address of its page, where else it listens, and what ends it. */
export async function startNode(program, settings) {
  const folder = mkdtempSync(join(tmpdir(), "tidegate-e2e-"));
  const config = join(folder, "tidegate.toml");
  writeFileSync(config, settings);
  const node = spawn(program, ["run", "--config", config, "--data", join(folder, "data")], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, TIDEGATE_LOG: "warn" },
  });
  const ended = new Promise((done) => node.once("exit", done).once("error", done));
  const stop = async () => {
    node.kill("SIGTERM");
    await ended;
    rmSync(folder, { recursive: true, force: true });
  };
  // `page http://…`, `riemann tcp 127.0.0.1:…`, and at last `ready`.
  const listeners = new Map();
  for await (const line of createInterface({ input: node.stdout })) {
    if (line === "ready") break;
    const words = line.split(/\s+/u);
    listeners.set(words.slice(0, -1).join(" "), words.at(-1));
  }
  node.stdout.resume();
  const page = listeners.get("page");
  if (page === undefined) {
    await stop();
    throw new Error("the node ended before it named its page: see what it says above");
  }
  return { page, listeners, pid: node.pid, folder, stop };
}
