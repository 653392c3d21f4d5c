// The page without its server: serves dist and a simulated /api/v1.
//
//   node mock/server.mjs [--port 5560] [--hosts 40] [--rules 4] [--share 0.12] [--empty] [--hostile] [--seed 7]
//
// Each file of mock/routes gives some of the routes: `export const routes = [["GET", "views/:name", handle], …]`, where
// `handle({ world, params, query, body, json, refuse, events, request, response })` answers.

import { createReadStream, existsSync, readdirSync } from "node:fs";
import { createServer } from "node:http";
import { dirname, extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Refused } from "./query.mjs";
import { FRAME, World } from "./world.mjs";

const { values } = parseArgs({
  options: {
    port: { type: "string", default: "5560" },
    hosts: { type: "string", default: "40" },
    rules: { type: "string", default: "4" },
    share: { type: "string", default: "0.12" },
    seed: { type: "string", default: "7" },
    empty: { type: "boolean", default: false },
    hostile: { type: "boolean", default: false },
  },
});

const here = dirname(fileURLToPath(import.meta.url));
const DIST = join(here, "..", "dist");
const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
  ".txt": "text/plain; charset=utf-8",
};
const POLICY = "default-src 'self'; style-src 'self' 'unsafe-inline'";

/** Bytes that a request may bring. */
const LARGEST = 32 << 20;

const world = new World({
  hosts: Number(values.hosts),
  rules: Number(values.rules),
  share: Number(values.share),
  seed: Number(values.seed),
  empty: values.empty,
  hostile: values.hostile,
});

const table = [];
for (const file of readdirSync(join(here, "routes")).sort()) {
  const { routes } = await import(`./routes/${file}`);
  for (const [method, path, handle] of routes)
    table.push({ method, parts: `/api/v1/${path}`.split("/"), handle });
}

/** The parts of the path behind colons; undefined when the route is another. */
function match({ parts }, path) {
  const given = path.split("/");
  if (given.length !== parts.length) return undefined;
  const params = {};
  for (const [n, part] of parts.entries()) {
    if (part.startsWith(":")) params[part.slice(1)] = decodeURIComponent(given[n]);
    else if (part !== given[n]) return undefined;
  }
  return params;
}

async function bytesOf(request) {
  const chunks = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size > LARGEST) throw new Error("the body is too large");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

async function answer(request, response, url) {
  const json = (status, value) => {
    response.writeHead(status, { "content-type": "application/json", "cache-control": "no-store" });
    response.end(JSON.stringify(value));
  };
  const refuse = (status, message, more = {}) => json(status, { error: { message, ...more } });
  const found = table
    .map((route) => ({ ...route, params: match(route, url.pathname) }))
    .filter(({ params }) => params !== undefined);
  const route = found.find(({ method }) => method === request.method);
  if (route === undefined) {
    refuse(found.length > 0 ? 405 : 404, `there is nothing at ${request.method} ${url.pathname}`);
    return;
  }
  const bytes = await bytesOf(request);
  const context = {
    world,
    params: route.params,
    query: url.searchParams,
    bytes,
    by: request.headers["x-tidegate-by"] ?? null,
    json,
    refuse,
    request,
    response,
    /** The body as JSON. */
    body: () => JSON.parse(bytes.toString("utf8")),
    /** Answers with a stream of messages; gives the function that sends one. */
    events() {
      response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache" });
      response.flushHeaders();
      return (name, data, id) =>
        response.write(
          `${id === undefined ? "" : `id: ${id}\n`}event: ${name}\ndata: ${JSON.stringify(data)}\n\n`,
        );
    },
  };
  try {
    await route.handle(context);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    refuse(400, error.message, { span: error.span, help: error.help });
  }
}

function file(response, url) {
  const path = join(DIST, normalize(url.pathname === "/" ? "index.html" : url.pathname));
  if (!path.startsWith(DIST) || !existsSync(path)) {
    response.writeHead(404, { "content-type": "application/json" });
    response.end(JSON.stringify({ error: { message: `there is nothing at ${url.pathname}` } }));
    return;
  }
  response.writeHead(200, {
    "content-type": TYPES[extname(path)] ?? "application/octet-stream",
    "cache-control": "no-cache",
  });
  createReadStream(path).pipe(response);
}

const server = createServer((request, response) => {
  const url = new URL(request.url, "http://mock");
  response.setHeader("content-security-policy", POLICY);
  response.setHeader("x-content-type-options", "nosniff");
  if (!url.pathname.startsWith("/api/")) {
    file(response, url);
    return;
  }
  answer(request, response, url).catch((error) => {
    console.error(error);
    response.destroy();
  });
});

setInterval(() => world.step(), FRAME);
server.listen(Number(values.port), "127.0.0.1", () =>
  console.log(`http://127.0.0.1:${server.address().port}`),
);
