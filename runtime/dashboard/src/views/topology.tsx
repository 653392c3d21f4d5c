// Topology: the way of events from inputs over the log and the rules to the outputs, and where they wait.

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { hrefOf, param } from "../address.ts";
import { useGet } from "../api.ts";
import { useKeys } from "../keys.ts";
import { compact, grouped, rate } from "../logic/format.ts";
import { curve, type Layout, laid, neighbour, thickness } from "../logic/layers.ts";
import { clean, cleanText, fitted } from "../logic/names.ts";
import type { State } from "../logic/state.ts";
import { overview } from "../page.ts";
import { Glyph } from "../parts/glyph.tsx";
import type { Topology as Parts, TopologyNode } from "../topology/contract.ts";
import "../styles/split.css";
import "../styles/topology.css";

const EVERY = 2_000;

/** Edges that can all have their rate written beside them. */
const LABELLED = 18;

const chosen = param("node", "");

/** How the words of the server look. */
export function lookOf(status: string): State {
  if (/quarantin|fail|error|down|lost|open/u.test(status)) return "critical";
  if (/warn|restart|shed|full|pressure|behind|drop|connecting|half/u.test(status)) return "warning";
  if (/paus|idle/u.test(status)) return "other";
  return "ok";
}

let layout: Layout | null = null;

function walk(key: "up" | "down" | "left" | "right"): void {
  if (layout === null) return;
  const next = neighbour(layout, chosen.value, key);
  chosen.set(next);
  document.getElementById(idOf(next))?.focus();
}

const idOf = (id: string): string => `node-${id.replace(/[^\w-]/gu, "_")}`;

export function Topology() {
  useKeys("Topology", [
    { keys: "j", also: ["ArrowDown"], does: "next in the column", act: () => walk("down") },
    { keys: "k", also: ["ArrowUp"], does: "previous in the column", act: () => walk("up") },
    { keys: "l", also: ["ArrowRight"], does: "with the events", act: () => walk("right") },
    { keys: "h", also: ["ArrowLeft"], does: "against the events", act: () => walk("left") },
    { keys: "Escape", act: () => chosen.set(""), when: () => chosen.value !== "" },
  ]);
  const { data, error } = useGet<Parts>("topology", {}, EVERY);
  const node = data?.nodes.find(({ id }) => id === chosen.value);
  return (
    <div class={`split ${node === undefined ? "" : "split-open topology-open"}`}>
      <section class="panel topology" aria-label="Topology">
        {data === null ? (
          <p class="quiet pad">{error === null ? "Asking how events go…" : clean(error.message)}</p>
        ) : (
          <Ground parts={data} />
        )}
      </section>
      {data !== null && node !== undefined && <One node={node} parts={data} />}
    </div>
  );
}

/** The size of an element, as it changes. */
function useSize(): [preact.RefObject<HTMLDivElement | null>, { width: number; height: number }] {
  const box = useRef<HTMLDivElement>(null);
  const [size, setSize] = useState({ width: 0, height: 0 });
  useEffect(() => {
    const into = box.current;
    if (into === null) return;
    const measure = () => setSize({ width: into.clientWidth, height: into.clientHeight });
    const watch = new ResizeObserver(measure);
    watch.observe(into);
    measure();
    return () => watch.disconnect();
  }, []);
  return [box, size];
}

/** Below this width the parts stand in a list. */
const NARROW = 640;

function Ground({ parts }: { parts: Parts }) {
  const [box, { width, height }] = useSize();
  // The same parts stay where they are, however their rates move.
  const shape = JSON.stringify([
    parts.nodes.map(({ id, kind }) => [id, kind]),
    parts.edges.map(({ from, to }) => [from, to]),
  ]);
  const narrow = width > 0 && width < NARROW;
  const placed = useMemo(
    () => (width === 0 || narrow ? null : laid(parts, width, height)),
    [shape, width, height, narrow],
  );
  layout = placed;
  const at = chosen.value;
  const near = (id: string) =>
    id === at || parts.edges.some(({ from, to }) => (from === at && to === id) || (to === at && from === id));
  const labelled = parts.edges.length <= LABELLED;
  const kinds: [TopologyNode["kind"], string][] = [
    ["input", "inputs"],
    ["log", "log"],
    ["rule", "rules"],
    ["alerts", "alerts"],
    ["output", "outputs"],
  ];
  return (
    <>
      <div
        class={`ground ${at === "" ? "" : "ground-chosen"} ${placed?.roomy === false ? "ground-tight" : ""}`}
        ref={box}
      >
        {narrow &&
          kinds.map(([kind, title]) => {
            const some = parts.nodes.filter((node) => node.kind === kind);
            return (
              some.length > 0 && (
                <section key={kind}>
                  <h3>{title}</h3>
                  {some.map((node) => (
                    <Node key={node.id} node={node} near={near(node.id)} />
                  ))}
                </section>
              )
            );
          })}
        {placed !== null && (
          <div class="plane" style={{ height: `${placed.height}px` }}>
            <svg width={width} height={placed.height} aria-hidden="true">
              {parts.edges.map(({ from, to, per_second }) => {
                const [a, b] = [placed.boxes.get(from), placed.boxes.get(to)];
                if (a === undefined || b === undefined) return null;
                const touched = from === at || to === at;
                const target = parts.nodes.find(({ id }) => id === to);
                return (
                  <path
                    key={`${from} ${to}`}
                    d={curve(a, b)}
                    class={`edge edge-${lookOf(target?.status ?? "")} ${touched ? "edge-touched" : ""} ${per_second === 0 ? "edge-still" : ""}`}
                    stroke-width={thickness(per_second)}
                  />
                );
              })}
            </svg>
            {parts.edges.map(({ from, to, per_second }) => {
              const [a, b] = [placed.boxes.get(from), placed.boxes.get(to)];
              if (a === undefined || b === undefined || b.x < a.x) return null;
              if (per_second === null || per_second <= 0 || !(labelled || from === at || to === at))
                return null;
              // A rate from the log stands in its rule already.
              if (!labelled && a.width < 60) return null;
              if (b.x - a.x - a.width < ROOM) return null;
              const bar = (one: typeof a) => one.height > placed.height - 1;
              const y = bar(a)
                ? b.y + b.height / 2
                : bar(b)
                  ? a.y + a.height / 2
                  : (a.y + a.height / 2 + b.y + b.height / 2) / 2;
              return (
                <span
                  key={`${from} ${to}`}
                  class="edge-rate"
                  style={{ left: `${(a.x + a.width + b.x) / 2}px`, top: `${y}px` }}
                >
                  {rate(per_second)}/s
                </span>
              );
            })}
            {parts.nodes.map((node) => {
              const where = placed.boxes.get(node.id);
              return where === undefined ? null : (
                <Node key={node.id} node={node} near={near(node.id)} at={where} />
              );
            })}
          </div>
        )}
      </div>
      {placed !== null && placed.hidden > 0 && (
        <p class="quiet ground-note">{grouped(placed.hidden)} quieter rules are left out.</p>
      )}
    </>
  );
}

/** About how wide a letter is, and what stands beside the name and the rate. */
const LETTER = 6.9;
const BESIDE = 34;

/** A way narrower than this has no room for a rate. */
const ROOM = 90;

/** How full the queue of an output is, where the node tells its room. */
function fullness({ kind, name, queued }: TopologyNode): number {
  const room =
    kind === "output" || kind === "alerts"
      ? overview.value?.outputs.find((output) => output.name === name)?.capacity
      : 0;
  return room === undefined || room === 0 ? 0 : Math.min(1, (queued ?? 0) / room);
}

function Node(props: {
  node: TopologyNode;
  near: boolean;
  at?: { x: number; y: number; width: number; height: number };
}) {
  const { node, near, at } = props;
  const look = lookOf(node.status);
  const open = chosen.value === node.id;
  const full = fullness(node);
  const queued = node.queued ?? 0;
  const name =
    at === undefined || node.kind === "log"
      ? clean(node.name)
      : fitted(
          clean(node.name),
          (at.width - BESIDE) / LETTER - rate(node.per_second).length - 2,
          ({ length }) => length,
        );
  const style =
    at === undefined
      ? {}
      : { left: `${at.x}px`, top: `${at.y}px`, width: `${at.width}px`, height: `${at.height}px` };
  return (
    <button
      id={idOf(node.id)}
      type="button"
      class={`node node-${node.kind} node-${look} ${open ? "node-open" : ""} ${near ? "node-near" : ""}`}
      style={style}
      aria-pressed={open}
      onClick={() => chosen.set(open ? "" : node.id)}
    >
      <span class="node-name">
        {look !== "ok" && <Glyph state={look} />}
        <bdi>{name}</bdi>
      </span>
      <span class="node-rate">{rate(node.per_second)}/s</span>
      <span class="node-more">
        {look === "ok" ? (
          <span class="hidden">{clean(node.status)}</span>
        ) : (
          <em class={`ink-${look}`}>{clean(node.status)}</em>
        )}
        {queued > 0 && <span>{compact(queued)} queued</span>}
      </span>
      {full > 0 && (
        <i class={`node-full ${full > 0.5 ? "node-fuller" : ""}`} style={{ width: `${100 * full}%` }} />
      )}
    </button>
  );
}

function One({ node, parts }: { node: TopologyNode; parts: Parts }) {
  const look = lookOf(node.status);
  const named = new Map(parts.nodes.map((one) => [one.id, one]));
  const from = parts.edges.filter(({ to }) => to === node.id);
  const to = parts.edges.filter((edge) => edge.from === node.id);
  const full = fullness(node);
  return (
    <section class="panel side" aria-labelledby="node-title">
      <div class="panel-head">
        <h2 id="node-title">
          <Glyph state={look} /> <bdi>{clean(node.name)}</bdi>
        </h2>
        <span class="counts">{node.kind}</span>
        <button type="button" class="icon" aria-label="Close this part" onClick={() => chosen.set("")}>
          ×
        </button>
      </div>
      <div class="side-body" tabIndex={0} role="region" aria-label="The part">
        <dl class="figures">
          <div>
            <dt>events/s</dt>
            <dd>{rate(node.per_second)}</dd>
          </div>
          <div>
            <dt>queued</dt>
            <dd class={full > 0.5 ? "ink-critical" : ""}>{grouped(node.queued ?? 0)}</dd>
          </div>
          <div>
            <dt>status</dt>
            <dd class={`ink-${look}`}>{clean(node.status)}</dd>
          </div>
        </dl>
        {full > 0 && <progress max={1} value={full} aria-label="How full its queue is" />}
        {node.detail !== null && node.detail !== "" && <p class="lead">{cleanText(node.detail)}</p>}
        <Links
          title="from"
          edges={from.map(({ from: id, per_second }) => ({ id, per_second }))}
          named={named}
        />
        <Links title="to" edges={to.map(({ to: id, per_second }) => ({ id, per_second }))} named={named} />
        {node.kind === "rule" && (
          <p class="side-links">
            <a href={hrefOf("rules", { rule: node.name })}>the rule</a>
            <a href={hrefOf("rules", { rule: node.name, tab: "log" })}>its log</a>
          </p>
        )}
        {node.kind === "alerts" && (
          <p class="side-links">
            <a href={hrefOf("alerts")}>the alerts</a>
          </p>
        )}
      </div>
    </section>
  );
}

function Links(props: {
  title: string;
  edges: { id: string; per_second: number | null }[];
  named: ReadonlyMap<string, TopologyNode>;
}) {
  const { title, edges, named } = props;
  if (edges.length === 0) return null;
  const sorted = [...edges].sort((a, b) => (b.per_second ?? 0) - (a.per_second ?? 0));
  return (
    <div class="links">
      <h3>{title}</h3>
      <ul>
        {sorted.map(({ id, per_second }) => (
          <li key={id}>
            <button type="button" class="linked" onClick={() => chosen.set(id)}>
              <bdi>{clean(named.get(id)?.name ?? id)}</bdi>
            </button>
            <span>{per_second === null ? "" : `${rate(per_second)}/s`}</span>
          </li>
        ))}
      </ul>
    </div>
  );
}
