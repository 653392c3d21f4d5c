// What a module says about itself: its limits and needs, and how it differs from what runs.

import { spaced } from "../logic/deployment.ts";
import { bytes, grouped, milliseconds } from "../logic/format.ts";
import { clean, cleanText } from "../logic/names.ts";
import type { Manifest, Running } from "./contract.ts";

function text(value: unknown): string {
  if (value === null || value === undefined || value === "") return "–";
  const whole = cleanText(typeof value === "string" ? value : (JSON.stringify(value) ?? ""));
  // Of a digest the beginning tells enough.
  return /^[0-9a-f]{64}$/u.test(whole) ? `${whole.slice(0, 12)}…` : whole;
}

/** From what runs to what was dropped, line by line. */
export function Changes({ running, version }: { running: Running; version: string }) {
  return (
    <div class="changes">
      <h3>
        Against generation {running.generation}, version {clean(running.version)}
      </h3>
      {running.changes.length === 0 ? (
        <p class="quiet">
          {running.version === version ? "The module is the same." : "Nothing but the module itself differs."}
        </p>
      ) : (
        <table>
          <thead>
            <tr>
              <th scope="col">what</th>
              <th scope="col">runs now</th>
              <th scope="col">this module</th>
            </tr>
          </thead>
          <tbody>
            {running.changes.map(({ what, from, to }) => (
              <tr key={what}>
                <th scope="row">{clean(spaced(what))}</th>
                <td class="old">{text(from)}</td>
                <td class="new">{text(to)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </div>
  );
}

/** A limit with its unit, which its name says. */
function limit(name: string, value: unknown): string {
  if (typeof value !== "number") return text(value);
  if (name.endsWith("_ms")) return milliseconds(value);
  if (name === "memory" || name.endsWith("bytes")) return bytes(value);
  return grouped(value);
}

export function Limits({ manifest }: { manifest: Manifest }) {
  const rows: [string, string][] = [
    ...Object.entries(manifest.limits ?? {}).map(([name, value]): [string, string] => [
      clean(spaced(name)),
      limit(name, value),
    ]),
    ["state", `schema ${manifest.schema}`],
    ["built with", `SDK ${clean(manifest.sdk)}`],
    [
      "may call",
      manifest.imports.length === 0
        ? "nothing of the host"
        : manifest.imports.map((name) => clean(name)).join(", "),
    ],
    ["digest", clean(manifest.module)],
  ];
  return (
    <details class="limits">
      <summary>Limits and origin</summary>
      <dl class="fields">
        {rows.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
    </details>
  );
}
