// Host by service: the canvas, and around it what a canvas lacks: keys, a tooltip, words for those who do not see it.

import { computed, useSignalEffect } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { worst } from "../logic/axes.ts";
import { compact, grouped } from "../logic/format.ts";
import { clean, shown } from "../logic/names.ts";
import type { Cell } from "../logic/store.ts";
import type { Size } from "../logic/view.ts";
import {
  changes,
  link,
  look,
  opened,
  overview,
  pointed,
  refusal,
  serverNow,
  store,
  tick,
  view,
} from "../page.ts";
import { themed } from "../theme.ts";
import { Board, type Place } from "./board.ts";
import { Empty, Lost } from "./empty.tsx";
import { Fields, spoken } from "./event.tsx";

export const GRID = "grid";

const SIZES: readonly Size[] = ["small", "normal", "large"];

/** Streams in the table for screen readers. */
const MOST_SPOKEN = 50;

/** Seconds between two versions of that table: faster would only be noise. */
const SPOKEN_EVERY = 5;

/** One step up or down in size. */
export function resize(step: 1 | -1): void {
  const at = SIZES.indexOf(view.value.size) + step;
  const size = SIZES[at];
  if (size !== undefined) look({ size });
}

let board: Board | null = null;

/** Whether there is no stream at all; a signal of its own, so that the panel is not drawn anew with every change. */
const nothing = computed(() => {
  void changes.value;
  return store.size === 0;
});

/** Moves the keyboard to the next stream in trouble. */
export function goToTrouble(): void {
  const place = board?.nextTrouble();
  if (place === null || place === undefined) return;
  document.getElementById(GRID)?.focus();
  board?.touch();
  showFocus(board?.focusOn(place));
}

function showFocus(cell: Cell | undefined): void {
  if (board === null || cell === undefined) {
    pointed.value = null;
    return;
  }
  const box = document.getElementById(GRID)?.getBoundingClientRect();
  const rect = board.rectOf(board.focusPlace());
  pointed.value = {
    cell,
    box: new DOMRect((box?.x ?? 0) + rect.x, (box?.y ?? 0) + rect.y, rect.width, rect.height),
  };
  if (opened.value !== null) opened.value = { host: cell.host, service: cell.service };
}

function Tooltip() {
  const at = pointed.value;
  void tick.value;
  void changes.value;
  const self = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const tip = self.current;
    if (tip === null || at === null) return;
    const [width, height] = [tip.offsetWidth, tip.offsetHeight];
    const below = at.box.bottom + 8 + height <= innerHeight;
    const x = Math.max(8, Math.min(at.box.left, innerWidth - width - 8));
    const y = below ? at.box.bottom + 6 : Math.max(8, at.box.top - height - 6);
    tip.style.transform = `translate(${Math.round(x)}px, ${Math.round(y)}px)`;
    tip.style.visibility = "visible";
  });
  const full = opened.value;
  // What the detail panel shows in full needs no tooltip.
  if (at === null || (full !== null && full.host === at.cell.host && full.service === at.cell.service))
    return null;
  const { cell } = at;
  return (
    <div class="cell-tip" ref={self} aria-hidden="true">
      <strong>
        <bdi>{shown(cell.service)}</bdi>
      </strong>
      <span class="on">
        <bdi>{shown(cell.host)}</bdi>
      </span>
      <Fields event={cell.event} now={serverNow()} brief />
    </div>
  );
}

/** What the canvas shows, in words: the worst streams as a table. */
function Spoken() {
  const [, redraw] = useState(0);
  useSignalEffect(() => {
    if (Math.floor(tick.value / 1000) % SPOKEN_EVERY === 0) redraw(tick.value);
  });
  const bad = worst(store, MOST_SPOKEN);
  return (
    <div class="hidden" id="grid-words">
      <p>
        {grouped(store.size)} streams on {grouped(store.hosts.size)} hosts.{" "}
        {bad.length === 0 ? "None is in trouble." : "The worst are listed in the table that follows."}
      </p>
      {bad.length > 0 && (
        <table>
          <caption>Streams in trouble, worst first, at most {MOST_SPOKEN}</caption>
          <thead>
            <tr>
              <th scope="col">Host</th>
              <th scope="col">Service</th>
              <th scope="col">State</th>
              <th scope="col">Metric</th>
            </tr>
          </thead>
          <tbody>
            {bad.map(({ host, service, event }, n) => (
              <tr key={n}>
                <td>{shown(host)}</td>
                <td>{shown(service)}</td>
                <td>{clean(event.state ?? "")}</td>
                <td>{compact(event.metric)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </div>
  );
}

function Counts() {
  void changes.value;
  void tick.value;
  const shownOf =
    view.value.query !== "" && refusal.value === null && overview.value !== null
      ? ` of ${grouped(overview.value.index_size)}`
      : "";
  return (
    <span class="counts">
      {grouped(store.size)}
      {shownOf} streams, {grouped(store.hosts.size)} {store.hosts.size === 1 ? "host" : "hosts"}
      {store.refused > 0 && (
        <em title="News of streams beyond those are left out: narrow the query to see them">
          {" "}
          · grid full, narrow the query
        </em>
      )}
      {store.skipped > 0 && (
        <em title="The server left these changes out to keep up; a fresh snapshot follows">
          {" "}
          · {compact(store.skipped)} changes skipped
        </em>
      )}
    </span>
  );
}

function Tools() {
  const { order, turned, size } = view.value;
  return (
    <div class="tools" role="toolbar" aria-label="Grid">
      <div class="pair" role="group" aria-label="Order">
        <button
          type="button"
          aria-pressed={order === "name"}
          onClick={() => look({ order: "name" })}
          title="Sort by name (s)"
        >
          name
        </button>
        <button
          type="button"
          aria-pressed={order === "worst"}
          onClick={() => look({ order: "worst" })}
          title="Worst first (s)"
        >
          worst
        </button>
      </div>
      <button
        type="button"
        class="tool"
        aria-pressed={turned}
        onClick={() => look({ turned: !turned })}
        title="Swap rows and columns (t)"
      >
        turn
      </button>
      <div class="pair" role="group" aria-label="Size">
        <button
          type="button"
          onClick={() => resize(-1)}
          disabled={size === "small"}
          aria-label="Smaller cells"
          title="Smaller (-)"
        >
          −
        </button>
        <button
          type="button"
          onClick={() => resize(1)}
          disabled={size === "large"}
          aria-label="Larger cells"
          title="Larger (+)"
        >
          +
        </button>
      </div>
    </div>
  );
}

function open(cell: Cell | undefined): void {
  if (cell !== undefined) opened.value = { host: cell.host, service: cell.service };
}

export function Grid() {
  const box = useRef<HTMLDivElement>(null);
  const spacer = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const [words, setWords] = useState("");
  useEffect(() => {
    if (box.current === null || spacer.current === null || canvas.current === null) return;
    const made = new Board(store, box.current, spacer.current, canvas.current);
    made.clock(serverNow);
    board = made;
    made.update(view.value.order, view.value.turned, view.value.size);
    const watch = new ResizeObserver(() => made.resize());
    watch.observe(box.current);
    return () => {
      watch.disconnect();
      made.dispose();
      board = null;
    };
  }, []);
  useSignalEffect(() => {
    void changes.value;
    void tick.value;
    const { order, turned, size } = view.value;
    board?.update(order, turned, size);
  });
  useSignalEffect(() => {
    void themed.value;
    board?.repaint();
  });
  const moveTo = (place: Place) => {
    board?.touch();
    const cell = board?.focusOn(place);
    showFocus(cell);
    const focus = board?.focus;
    if (cell !== undefined) setWords(spoken(cell.event, serverNow()));
    else if (focus !== null && focus !== undefined)
      setWords(`${shown(focus.host)}, ${shown(focus.service)}: no stream`);
  };
  const onKey = (event: KeyboardEvent) => {
    if (board === null || event.altKey || event.metaKey) return;
    const at = board.focusPlace();
    const first = board.focus === null;
    const step = (row: number, column: number) =>
      first ? at : { row: at.row + row, column: at.column + column };
    const last = { row: board.rows.names.length - 1, column: board.columns.names.length - 1 };
    const moves: Record<string, () => Place> = {
      ArrowUp: () => step(-1, 0),
      ArrowDown: () => step(1, 0),
      ArrowLeft: () => step(0, -1),
      ArrowRight: () => step(0, 1),
      PageUp: () => step(-(board?.page ?? 1), 0),
      PageDown: () => step(board?.page ?? 1, 0),
      Home: () => (event.ctrlKey ? { row: 0, column: 0 } : { row: at.row, column: 0 }),
      End: () => (event.ctrlKey ? last : { row: at.row, column: last.column }),
    };
    const move = moves[event.key];
    if (move !== undefined) {
      event.preventDefault();
      moveTo(move());
    } else if (event.key === "Enter") {
      event.preventDefault();
      const cell = board.focus === null ? undefined : store.get(board.focus.host, board.focus.service);
      open(cell);
    } else if (event.key === "Escape" && opened.value === null) {
      board.focus = null;
      pointed.value = null;
      board.request();
    }
  };
  const under = (event: PointerEvent | MouseEvent): Place | null => {
    const rect = box.current?.getBoundingClientRect();
    return rect === undefined || board === null
      ? null
      : board.hit(event.clientX - rect.x, event.clientY - rect.y);
  };
  const lost = link.value.state === "lost";
  return (
    <section class="panel grid-panel" aria-labelledby="grid-title">
      <div class="panel-head">
        <h2 id="grid-title">Streams</h2>
        <Counts />
        <Tools />
      </div>
      {lost && <Lost />}
      <div class="grid-box">
        <div
          id={GRID}
          ref={box}
          class={`grid ${lost ? "grid-lost" : ""}`}
          role="application"
          tabIndex={0}
          aria-label="Streams, hosts by services. Arrow keys move, Enter opens, n goes to the next in trouble."
          aria-describedby="grid-words"
          onKeyDown={onKey}
          onScroll={() => {
            pointed.value = null;
            board?.point(null);
            board?.request();
          }}
          onPointerMove={(event) => {
            if (event.pointerType === "touch") return;
            const place = under(event);
            board?.touch();
            board?.point(place);
            const cell = place === null ? undefined : board?.cellAt(place);
            const rect = box.current?.getBoundingClientRect();
            if (cell === undefined || place === null || board === null || rect === undefined)
              pointed.value = null;
            else if (pointed.value?.cell !== cell) {
              const at = board.rectOf(place);
              pointed.value = { cell, box: new DOMRect(rect.x + at.x, rect.y + at.y, at.width, at.height) };
            }
          }}
          onPointerLeave={() => {
            board?.point(null);
            pointed.value = null;
          }}
          onClick={(event) => {
            const place = under(event);
            if (place === null || board === null) return;
            const cell = board.focusOn(place);
            pointed.value = null;
            open(cell);
          }}
          onBlur={() => {
            pointed.value = null;
          }}
        >
          <div ref={spacer} class="spacer">
            {/* biome-ignore lint/a11y/noAriaHiddenOnFocusable: a canvas takes no focus */}
            <canvas ref={canvas} aria-hidden="true" />
          </div>
        </div>
        {nothing.value && refusal.value === null && <Empty />}
      </div>
      <p class="hidden" aria-live="polite">
        {words}
      </p>
      <Spoken />
      <Tooltip />
    </section>
  );
}
