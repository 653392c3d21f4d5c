// Kiosk: the view and nothing else, for a screen on the wall. In the address, so that a wall opens with it.

import { flag } from "./address.ts";

export const kiosk = flag("kiosk");

/** In and out; asks the browser for the full screen, which it may refuse. */
export function turnKiosk(): void {
  const on = !kiosk.value;
  kiosk.set(on);
  const turned = on ? document.documentElement.requestFullscreen?.() : document.exitFullscreen?.();
  turned?.catch(() => {});
}

let full = false;
addEventListener("fullscreenchange", () => {
  const now = document.fullscreenElement !== null;
  // Escape leaves the full screen without telling the page's keys.
  if (full && !now) kiosk.set(false);
  full = now;
});
