// The page: its parts, and the keys that work everywhere.

import { useSignalEffect } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { helping, look, opened, overview, pause, paused, view } from "./page.ts";
import { closeDetail, Detail } from "./parts/detail.tsx";
import { GRID, Grid, goToTrouble, resize } from "./parts/grid.tsx";
import { Head } from "./parts/head.tsx";
import { Help } from "./parts/help.tsx";
import { Node } from "./parts/node.tsx";
import { QUERY_FIELD } from "./parts/query.tsx";
import { Rules } from "./parts/rules.tsx";
import { Said } from "./parts/said.tsx";
import { turnBelow } from "./parts/turn.tsx";
import { turnTheme } from "./theme.ts";

const KEYS: Readonly<Record<string, () => void>> = {
  "/": () => {
    const field = document.getElementById(QUERY_FIELD);
    field?.focus();
    (field as HTMLInputElement | null)?.select();
  },
  "?": () => {
    helping.value = true;
  },
  g: () => document.getElementById(GRID)?.focus(),
  n: goToTrouble,
  s: () => look({ order: view.value.order === "name" ? "worst" : "name" }),
  t: () => look({ turned: !view.value.turned }),
  "+": () => resize(1),
  "=": () => resize(1),
  "-": () => resize(-1),
  o: turnBelow,
  d: turnTheme,
  " ": () => pause(!paused.value),
};

function onKey(event: KeyboardEvent): void {
  const target = event.target as HTMLElement;
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (document.querySelector("dialog[open]") !== null) return;
  if (target.closest("input, textarea") !== null) return;
  // A button takes the space bar for itself.
  if (event.key === " " && target.closest("button, summary, a") !== null) return;
  if (event.key === "Escape" && opened.value !== null) {
    closeDetail();
    return;
  }
  const act = KEYS[event.key];
  if (act === undefined) return;
  event.preventDefault();
  act();
}

export function App() {
  useEffect(() => {
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
  useSignalEffect(() => {
    const bad = overview.value?.states.critical ?? 0;
    document.title = bad > 0 ? `(${bad}) Tidegate` : "Tidegate";
  });
  return (
    <>
      <Head />
      <main>
        <Grid />
        {view.value.node ? <Node /> : <Rules />}
        <Said />
        <Detail />
      </main>
      <Help />
    </>
  );
}
