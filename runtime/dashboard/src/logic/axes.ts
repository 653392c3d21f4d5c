// Which hosts and services stand where in the grid.

import { byName, type Common, common, type Name } from "./names.ts";
import { SEVERITY } from "./state.ts";
import type { Cell, Store } from "./store.ts";

export type Order = "name" | "worst";

/** One edge of the grid: names in their order, and what they share. */
export interface Axis {
  names: Name[];
  common: Common;
}

/** Names by how bad their cells are: the worst state counts first, then how many are in it, then the name. */
function worstFirst(names: readonly Name[], troubles: Map<Name, number>): Name[] {
  // `names` is in order already and the sort is stable, so the name decides among equals.
  return [...names].sort((a, b) => (troubles.get(b) ?? 0) - (troubles.get(a) ?? 0));
}

/** One number that grows with the worst severity and then with the count of cells that have it. */
const BAND = 1e6;

function trouble(before: number | undefined, cell: Cell): number {
  const severity = SEVERITY[cell.state];
  // What is fine needs no ranking.
  if (severity <= SEVERITY.ok) return before ?? 0;
  const worst = Math.floor((before ?? 0) / BAND);
  if (severity > worst) return severity * BAND + 1;
  return severity === worst ? (before ?? 0) + 1 : (before ?? 0);
}

/** Keeps both edges in order. Sorting by name happens only when a stream came or went. */
export class Axes {
  hosts: Axis = { names: [], common: { prefix: "", suffix: "" } };
  services: Axis = { names: [], common: { prefix: "", suffix: "" } };
  private hostsByName: Name[] = [];
  private servicesByName: Name[] = [];
  private membership = -1;

  /** Whether no stream came or went since the last update. */
  knows(store: Store): boolean {
    return this.membership === store.membership;
  }

  update(store: Store, order: Order): void {
    if (!this.knows(store)) {
      this.membership = store.membership;
      this.hostsByName = [...store.hosts.keys()].sort(byName);
      this.servicesByName = [...store.services.keys()].sort(byName);
      this.hosts = { names: this.hostsByName, common: common(this.hostsByName) };
      this.services = { names: this.servicesByName, common: common(this.servicesByName) };
    }
    if (order === "name") {
      this.hosts.names = this.hostsByName;
      this.services.names = this.servicesByName;
      return;
    }
    const hosts = new Map<Name, number>();
    const services = new Map<Name, number>();
    for (const cell of store.cells()) {
      hosts.set(cell.host, trouble(hosts.get(cell.host), cell));
      services.set(cell.service, trouble(services.get(cell.service), cell));
    }
    this.hosts.names = worstFirst(this.hostsByName, hosts);
    this.services.names = worstFirst(this.servicesByName, services);
  }
}

/** The worst cells, worst first, at most `most`. */
export function worst(store: Store, most: number): Cell[] {
  const bands: Cell[][] = [];
  for (const cell of store.cells()) {
    const severity = SEVERITY[cell.state];
    if (severity <= SEVERITY.ok) continue;
    bands[severity] ??= [];
    bands[severity].push(cell);
  }
  const found: Cell[] = [];
  for (let severity = SEVERITY.critical; severity >= 0 && found.length < most; severity--) {
    const band = bands[severity];
    if (band === undefined) continue;
    band.sort((a, b) => byName(a.host, b.host) || byName(a.service, b.service));
    found.push(...band.slice(0, most - found.length));
  }
  return found;
}
