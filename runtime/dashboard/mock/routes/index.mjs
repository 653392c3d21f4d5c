// What the index holds, once.

import { overview } from "../overview.mjs";
import { compile } from "../query.mjs";
import { ranked } from "../rules.mjs";

export const routes = [
  ["GET", "overview", ({ world, json }) => json(200, overview(world))],
  [
    "GET",
    "rules",
    ({ world, query, json }) =>
      json(200, ranked(world, query.get("find") ?? "", Number(query.get("limit") ?? 1_000))),
  ],
  [
    "GET",
    "query",
    ({ world, query, json }) => {
      const found = [...world.index.values()].filter(compile(query.get("q") ?? "true"));
      const limit = Number(query.get("limit") ?? 1_000);
      json(200, { events: found.slice(0, limit), truncated: found.length > limit });
    },
  ],
];
