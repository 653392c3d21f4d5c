// A real node for the time of a test, with its data in a folder that goes with it.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

/**
 * Starts the program with these settings. Gives the address of its page, where else it listens, and what ends it, kills it,
 * and starts it again with its page where it was.
 */
export async function startNode(program, settings) {
  const folder = mkdtempSync(join(tmpdir(), "tidegate-e2e-"));
  const config = join(folder, "tidegate.toml");
  let node;
  let ended;
  const run = async (text) => {
    writeFileSync(config, text);
    node = spawn(program, ["run", "--config", config, "--data", join(folder, "data")], {
      stdio: ["ignore", "pipe", "inherit"],
      env: { ...process.env, TIDEGATE_LOG: "warn" },
    });
    ended = new Promise((done) => node.once("exit", done).once("error", done));
    // `page http://…`, `riemann tcp 127.0.0.1:…`, and at last `ready`.
    const listeners = new Map();
    for await (const line of createInterface({ input: node.stdout })) {
      if (line === "ready") break;
      const words = line.split(/\s+/u);
      listeners.set(words.slice(0, -1).join(" "), words.at(-1));
    }
    node.stdout.resume();
    return listeners;
  };
  const end = async (signal) => {
    node.kill(signal);
    await ended;
  };
  const stop = async () => {
    await end("SIGTERM");
    rmSync(folder, { recursive: true, force: true });
  };
  const listeners = await run(settings);
  const page = listeners.get("page");
  if (page === undefined) {
    await stop();
    throw new Error("the node ended before it named its page: see what it says above");
  }
  const again = settings.replace(/(\[http\]\s*address = ")[^"]*/u, `$1${new URL(page).host}`);
  return {
    ...{ page, listeners, folder, stop, pid: node.pid },
    kill: () => end("SIGKILL"),
    restart: () => run(again),
  };
}
