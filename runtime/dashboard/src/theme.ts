// Light or dark: as the address says, or as somebody chose before, or as the system says.

import { computed, effect, signal } from "@preact/signals";
import { param } from "./address.ts";

export type Theme = "light" | "dark";

const KEY = "tidegate.theme";
const system = matchMedia("(prefers-color-scheme: light)");

function chosenBefore(): Theme | null {
  try {
    const value = localStorage.getItem(KEY);
    return value === "light" || value === "dark" ? value : null;
  } catch {
    // Storage may be forbidden; then the choice lasts as long as the page.
    return null;
  }
}

const chosen = signal<Theme | null>(chosenBefore());
const usual = signal<Theme>(system.matches ? "light" : "dark");
system.addEventListener("change", () => {
  usual.value = system.matches ? "light" : "dark";
});

const addressed = param<Theme | "">("theme", "", ["", "light", "dark"]);

/** The theme in force. */
export const theme = computed<Theme>(() => addressed.value || (chosen.value ?? usual.value));

/** Grows once a new theme is on the page, so that canvases are drawn after it. */
export const themed = signal(0);

effect(() => {
  document.documentElement.dataset.theme = theme.value;
  themed.value = themed.peek() + 1;
});

export function turnTheme(): void {
  const next = theme.value === "light" ? "dark" : "light";
  if (addressed.value !== "") {
    addressed.set(next);
    return;
  }
  chosen.value = next === usual.value ? null : next;
  try {
    if (chosen.value === null) localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, chosen.value);
  } catch {
    // As above.
  }
}
