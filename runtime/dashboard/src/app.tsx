// The page: the navigation, the top, the view in the address, and the keys that work everywhere.

import { useSignalEffect } from "@preact/signals";
import { go, viewName } from "./address.ts";
import { register } from "./keys.ts";
import { kiosk, turnKiosk } from "./kiosk.ts";
import { again } from "./live.ts";
import { VIEWS } from "./logic/address.ts";
import { closeStream, opened, overview } from "./page.ts";
import { Detail } from "./parts/detail.tsx";
import { Dialog } from "./parts/dialog.tsx";
import { Lost } from "./parts/empty.tsx";
import { Head } from "./parts/head.tsx";
import { Help, helping } from "./parts/help.tsx";
import { Nav } from "./parts/nav.tsx";
import { Notices } from "./parts/notice.tsx";
import { focusQuery } from "./parts/query.tsx";
import { Unlock } from "./parts/unlock.tsx";
import { openViews, Views, workspace } from "./parts/views.tsx";
import { DropZone } from "./rules/drop.tsx";
import { turnTheme } from "./theme.ts";
import { ENTRIES } from "./views.tsx";

const DIGITS = ["1", "2", "3", "4", "5", "6", "7", "8", "9"];

/** Registered before the page is drawn: keys of a view come later, and win. */
register({
  name: "Everywhere",
  bindings: [
    { keys: "?", does: "keys and help", act: () => (helping.value = true) },
    {
      keys: "/",
      also: ["e"],
      does: "type a query",
      act: () => {
        if (!ENTRIES[viewName.value].queried) go("query");
        requestAnimationFrame(focusQuery);
      },
    },
    { keys: "f", does: "kiosk: the view and nothing else", act: turnKiosk },
    { keys: "d", does: "light or dark", act: turnTheme },
    { keys: "v", also: ["s"], does: "saved views: open, save, share", act: openViews },
    ...DIGITS.map((digit) => ({
      keys: digit,
      also: [`Alt+${digit}`],
      ...(digit === "1" ? { does: "workspaces 1 … 9: saved views with a number" } : {}),
      act: () => workspace(Number(digit)),
    })),
    { keys: "R", does: "connect anew", act: again },
    {
      keys: "Escape",
      does: "close, or let go",
      act: closeStream,
      when: () => opened.value !== null,
    },
    { keys: "Escape", act: turnKiosk, when: () => kiosk.value },
  ],
});
register({
  name: "Go to",
  bindings: VIEWS.map((view) => ({
    keys: `g ${ENTRIES[view].key}`,
    does: ENTRIES[view].title.toLowerCase(),
    act: () => go(view),
  })),
});

export function App() {
  useSignalEffect(() => {
    const firing = overview.value?.alerts?.firing ?? 0;
    const title = `${ENTRIES[viewName.value].title} · Tidegate`;
    document.title = firing > 0 ? `(${firing}) ${title}` : title;
    document.documentElement.classList.toggle("kiosk", kiosk.value);
  });
  const { Body } = ENTRIES[viewName.value];
  return (
    <>
      {!kiosk.value && <Nav />}
      <div class="page-body">
        <Head />
        <Lost />
        <Unlock over />
        <main class={`view view-${viewName.value}`} key={viewName.value}>
          <Body />
        </main>
        <Detail />
      </div>
      <Help />
      <Views />
      <Dialog />
      <Notices />
      <DropZone />
    </>
  );
}
