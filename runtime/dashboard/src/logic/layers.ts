// Where the parts of the topology stand: inputs, the log as a bar, rules in as many columns as they need, outputs.

import type { Topology, TopologyNode } from "../topology/contract.ts";
import { byName } from "./names.ts";

export interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface Layout {
  boxes: ReadonlyMap<string, Box>;
  /** The columns, for the keys: ids from top to bottom. */
  columns: readonly (readonly string[])[];
  /** Whether nodes have room for a second line. */
  roomy: boolean;
  /** Rules that are left out. */
  hidden: number;
  /** How high all of it is. */
  height: number;
}

/** Rules that are shown at most; those in trouble and those that do most come first. */
export const MOST_RULES = 120;

/** The least and the greatest height of a node, and the room around it. */
const [LOW, HIGH] = [28, 54];
const GAP = 8;
/** The bar of the log. */
const BAR = 46;
/** Room for curves between two columns, at least. */
const WAY = 54;
/** How far a curve leaves its column that leads from one node of it to another. */
const BOW = 48;
const NARROWEST = 120;
const WIDEST = 260;

const TROUBLE = /quarantin|fail|restart|error/u;

/** Rules in the order in which they stand: those that feed the same outputs together, then by name. */
function arranged(topology: Topology): { rules: TopologyNode[]; hidden: number } {
  const all = topology.nodes.filter(({ kind }) => kind === "rule");
  const trouble = (node: TopologyNode) => (TROUBLE.test(node.status) ? 0 : 1);
  const shown =
    all.length <= MOST_RULES
      ? all
      : [...all].sort((a, b) => trouble(a) - trouble(b) || b.per_second - a.per_second).slice(0, MOST_RULES);
  const outputs = topology.nodes
    .filter(({ kind }) => kind === "output" || kind === "alerts")
    .map(({ id }) => id);
  const place = new Map(outputs.map((id, n) => [id, n]));
  const mean = new Map<string, number>();
  for (const { id } of shown) {
    const to = topology.edges.filter(({ from }) => from === id).flatMap((edge) => place.get(edge.to) ?? []);
    mean.set(id, to.length === 0 ? outputs.length : to.reduce((sum, n) => sum + n, 0) / to.length);
  }
  const rules = [...shown].sort(
    (a, b) => (mean.get(a.id) ?? 0) - (mean.get(b.id) ?? 0) || byName(a.name, b.name),
  );
  return { rules, hidden: all.length - shown.length + (topology.left_out ?? 0) };
}

/** Stands everything on a ground of this size; it may come out higher, never wider. */
export function laid(topology: Topology, width: number, height: number): Layout {
  const kind = (wanted: string) => topology.nodes.filter((node) => node.kind === wanted).map(({ id }) => id);
  const inputs = kind("input");
  const logs = kind("log");
  const outputs = [...kind("output"), ...kind("alerts")];
  const { rules, hidden } = arranged(topology);
  // As few columns of rules as give each its least height, but no more than fit side by side.
  const sides = (inputs.length > 0 ? 1 : 0) + (outputs.length > 0 ? 1 : 0);
  const free = width - (logs.length > 0 ? BAR : 0);
  const fits = Math.max(1, Math.floor((free - sides * (NARROWEST + WAY)) / (NARROWEST + GAP)));
  const rows = Math.max(1, Math.floor((height + GAP) / (LOW + GAP)));
  const many = Math.min(fits, Math.max(1, Math.ceil(rules.length / rows)));
  const deep = Math.max(1, Math.ceil(rules.length / many));
  const most = Math.max(deep, inputs.length, outputs.length, 1);
  const tall = Math.max(height, most * (LOW + GAP) - GAP);
  const room = Math.min(HIGH, Math.max(LOW, tall / deep - GAP));
  const side = Math.min(HIGH, Math.max(LOW, tall / Math.max(1, inputs.length, outputs.length) - GAP));
  const ways = sides + (logs.length > 0 ? 1 : 0);
  // With few nodes there is room to write the rates beside the curves.
  const least = many === 1 ? 2 * WAY : WAY;
  const wide = Math.min(
    WIDEST,
    Math.max(NARROWEST, (free - ways * least - (many - 1) * GAP) / (sides + many)),
  );
  const way = Math.max(24, (free - (sides + many) * wide - (many - 1) * GAP) / Math.max(1, ways));

  const boxes = new Map<string, Box>();
  const columns: string[][] = [];
  let x = 0;
  const stack = (ids: readonly string[], high: number, spread: boolean) => {
    if (ids.length === 0) return;
    // Few nodes keep a distance from which their curves can be told apart.
    const step = spread
      ? Math.min(tall / ids.length, high * 2.4 + GAP)
      : Math.min(tall / ids.length, high + 3 * GAP);
    const top = (tall - step * ids.length) / 2;
    ids.forEach((id, n) => {
      boxes.set(id, { x, y: top + step * n + (step - high) / 2, width: wide, height: high });
    });
    columns.push([...ids]);
  };
  stack(inputs, side, true);
  if (inputs.length > 0) x += wide + way;
  for (const id of logs) {
    boxes.set(id, { x, y: 0, width: BAR, height: tall });
    columns.push([id]);
    x += BAR + way;
  }
  const names = rules.map(({ id }) => id);
  for (let n = 0; n < many; n++) {
    const some = names.slice(n * deep, (n + 1) * deep);
    if (many === 1) stack(some, room, false);
    else {
      // Columns side by side share their lines.
      const step = tall / deep;
      some.forEach((id, row) => {
        boxes.set(id, { x, y: step * row + (step - room) / 2, width: wide, height: room });
      });
      if (some.length > 0) columns.push(some);
    }
    x += wide + (n < many - 1 ? GAP : 0);
  }
  x += way;
  stack(outputs, side, true);
  return { boxes, columns, roomy: room >= 42, hidden, height: tall };
}

/** A curve from one box to another; from bar to node, and backwards, as it suits. */
export function curve(from: Box, to: Box): string {
  const middle = (box: Box) => box.y + box.height / 2;
  const tall = (box: Box, other: Box) => (box.height > 2 * HIGH ? middle(other) : middle(box));
  const [y0, y1] = [tall(from, to), tall(to, from)];
  if (to.x === from.x) {
    // What a desk tells an output of its own column goes around what stands between them.
    const out = to.x - BOW;
    return `M${from.x} ${y0}C${out} ${y0} ${out} ${y1} ${to.x} ${y1}`;
  }
  if (to.x >= from.x) {
    const [x0, x1] = [from.x + from.width, to.x];
    const bend = Math.max(18, (x1 - x0) / 2);
    return y0 === y1
      ? `M${x0} ${y0}H${x1}`
      : `M${x0} ${y0}C${x0 + bend} ${y0} ${x1 - bend} ${y1} ${x1} ${y1}`;
  }
  // Back into the log: a little below the way that came.
  const [x0, x1] = [from.x, to.x + to.width];
  return `M${x0} ${y0 + 7}H${x1}`;
}

/** How thick a rate is drawn: ten times as many are a little thicker. */
export const thickness = (rate: number | null): number =>
  rate === null || rate <= 0 ? 1 : Math.min(7, 1.2 + 0.9 * Math.log10(1 + rate));

/** The node that a key leads to from another; the same one where there is none. */
export function neighbour(layout: Layout, id: string, key: "up" | "down" | "left" | "right"): string {
  const at = layout.columns.findIndex((column) => column.includes(id));
  const column = layout.columns[at];
  if (column === undefined) return layout.columns[0]?.[0] ?? "";
  if (key === "up" || key === "down") return column[column.indexOf(id) + (key === "up" ? -1 : 1)] ?? id;
  const next = layout.columns[at + (key === "left" ? -1 : 1)];
  const box = layout.boxes.get(id);
  if (next === undefined || box === undefined) return id;
  const centre = box.y + box.height / 2;
  const distance = (other: string) => {
    const there = layout.boxes.get(other);
    return there === undefined ? Number.POSITIVE_INFINITY : Math.abs(there.y + there.height / 2 - centre);
  };
  return next.reduce((best, other) => (distance(other) < distance(best) ? other : best), next[0] ?? id);
}
