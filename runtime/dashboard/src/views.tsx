// Every view: its name, its key and its picture in the navigation.

import type { ComponentType } from "preact";
import type { ViewName } from "./logic/address.ts";
import { Alerts } from "./views/alerts.tsx";
import { Backtest } from "./views/backtest.tsx";
import { GridView } from "./views/grid.tsx";
import { Overview } from "./views/overview.tsx";
import { QueryView } from "./views/query.tsx";
import { RulesView } from "./views/rules.tsx";
import { Stream } from "./views/stream.tsx";
import { Topology } from "./views/topology.tsx";

export interface Entry {
  title: string;
  /** The second key after `g`. */
  key: string;
  /** An outline on a grid of 24 by 24. */
  icon: string;
  /** Whether the query in the top bar means this view. */
  queried: boolean;
  Body: ComponentType;
}

export const ENTRIES: Readonly<Record<ViewName, Entry>> = {
  overview: {
    title: "Overview",
    key: "o",
    icon: "M4 4h7v9H4zM13 4h7v5h-7zM13 11h7v9h-7zM4 15h7v5H4z",
    queried: false,
    Body: Overview,
  },
  grid: {
    title: "Grid",
    key: "g",
    icon: "M4 4h4v4H4zM10 4h4v4h-4zM16 4h4v4h-4zM4 10h4v4H4zM10 10h4v4h-4zM16 10h4v4h-4zM4 16h4v4H4zM10 16h4v4h-4zM16 16h4v4h-4z",
    queried: true,
    Body: GridView,
  },
  stream: {
    title: "Stream",
    key: "s",
    icon: "M4 6h10M4 10h16M4 14h7M4 18h13",
    queried: true,
    Body: Stream,
  },
  alerts: {
    title: "Alerts",
    key: "a",
    icon: "M12 3.5a5.5 5.5 0 0 0-5.5 5.5c0 5-2 6-2 7.5h15c0-1.5-2-2.5-2-7.5A5.5 5.5 0 0 0 12 3.5zM9.5 19.5a2.5 2.5 0 0 0 5 0",
    queried: false,
    Body: Alerts,
  },
  rules: {
    title: "Rules",
    key: "r",
    icon: "M5 5h5v5H5zM14 14h5v5h-5zM7.5 10v4.5a2 2 0 0 0 2 2H14M14 5.5h5M14 9h5",
    queried: false,
    Body: RulesView,
  },
  backtest: {
    title: "Backtest",
    key: "b",
    icon: "M4.5 12a7.5 7.5 0 1 1 2.3 5.4M4.5 6v4.5H9M12 8v4.5l3 2",
    queried: false,
    Body: Backtest,
  },
  topology: {
    title: "Topology",
    key: "t",
    icon: "M3.5 9.5h5v5h-5zM15.5 4h5v5h-5zM15.5 15h5v5h-5zM8.5 12h3.5M15.5 6.5H12v11h3.5",
    queried: false,
    Body: Topology,
  },
  query: {
    title: "Query",
    key: "q",
    icon: "M10.5 4.5a6 6 0 1 1 0 12 6 6 0 0 1 0-12zM15 15l5 5",
    queried: true,
    Body: QueryView,
  },
};
