// Host by service: the canvas, and around it what a canvas lacks: keys, a tooltip, words for those who do not see it.

import { computed, useSignalEffect } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { flag, param } from "../address.ts";
import { course } from "../history.ts";
import { useKeys } from "../keys.ts";
import { type Order, worst } from "../logic/axes.ts";
import { compact, grouped, timeOfDay } from "../logic/format.ts";
import { prefixes, tagsOf } from "../logic/groups.ts";
import { clean, type Name, shown } from "../logic/names.ts";
import type { Cell } from "../logic/store.ts";
import {
  changes,
  link,
  opened,
  openStream,
  overview,
  pointed,
  query,
  refusal,
  serverNow,
  still,
  store,
  tick,
} from "../page.ts";
import { Board, type Place, type Size } from "../parts/board.ts";
import { Empty } from "../parts/empty.tsx";
import { Fields, spoken } from "../parts/event.tsx";
import { draw } from "../parts/spark.tsx";
import { themed } from "../theme.ts";
import "../styles/grid.css";

export const GRID = "grid";

const SIZES: readonly Size[] = ["small", "normal", "large"];

/** Streams in the table for screen readers. */
const MOST_SPOKEN = 50;

/** Seconds between two versions of that table: faster would only be noise. */
const SPOKEN_EVERY = 5;

const order = param<Order>("sort", "name", ["name", "worst"]);
const turned = flag("turned");
const size = param<Size>("size", "normal", SIZES);
/** `tag`, or the beginning of tags such as `role:`. */
const grouping = param("group", "");

/** One step up or down in size. */
function resize(step: 1 | -1): void {
  const next = SIZES[SIZES.indexOf(size.value) + step];
  if (next !== undefined) size.set(next);
}

let board: Board | null = null;

/** Whether there is no stream at all; a signal of its own, so that the panel is not drawn anew with every change. */
const nothing = computed(() => {
  void changes.value;
  return store.size === 0;
});

/** Moves the keyboard to the next stream in trouble. */
function goToTrouble(): void {
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
  if (opened.value !== null) openStream(cell.host, cell.service);
}

/** The course of a quarter of an hour, as soon as the pointer has rested. */
function TipSpark({ host, service }: { host: Name; service: Name }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [values, setValues] = useState<Float64Array | null>(null);
  useEffect(() => {
    const stop = new AbortController();
    const rest = setTimeout(() => {
      course(host, service, stop.signal).then(setValues, () => {
        // A tooltip without its line is still a tooltip.
      });
    }, 150);
    return () => {
      clearTimeout(rest);
      stop.abort();
    };
  }, []);
  useEffect(() => {
    if (canvas.current !== null && values !== null) draw(canvas.current, values, false);
  }, [values]);
  if (values?.every((value) => Number.isNaN(value)) === true) return null;
  return <canvas ref={canvas} class="spark" />;
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
      <TipSpark key={JSON.stringify([cell.host, cell.service])} host={cell.host} service={cell.service} />
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
    query.value !== "" && refusal.value === null && overview.value !== null
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

function Groups() {
  const [found, setFound] = useState<string[]>([]);
  const at = grouping.value;
  const look = () => setFound(prefixes(tagsOf(store, turned.value, true)));
  const choices = [...new Set(["", "tag", at, ...found])];
  return (
    <select
      class="tool"
      aria-label="Group rows"
      title="Group rows by their tags (c)"
      value={at}
      onPointerEnter={look}
      onFocus={look}
      onChange={(event) => grouping.set(event.currentTarget.value)}
    >
      {choices.map((choice) => (
        <option key={choice} value={choice}>
          {choice === ""
            ? "no groups"
            : choice === "tag"
              ? "by tag"
              : `by ${clean(choice.replace(/[:=]$/u, ""), 40)}`}
        </option>
      ))}
    </select>
  );
}

/** Holds the grid still, or lets it go on. */
function hold(): void {
  still.value = still.value === 0 ? serverNow() : 0;
}

function Tools() {
  return (
    <div class="tools" role="toolbar" aria-label="Grid">
      <button
        type="button"
        class="tool"
        aria-pressed={still.value > 0}
        title="Hold the grid still (Space)"
        onClick={hold}
      >
        {still.value > 0 ? `go on, still since ${timeOfDay(still.value)}` : "pause"}
      </button>
      <div class="pair" role="group" aria-label="Order">
        <button
          type="button"
          aria-pressed={order.value === "name"}
          onClick={() => order.set("name")}
          title="Sort by name (w)"
        >
          name
        </button>
        <button
          type="button"
          aria-pressed={order.value === "worst"}
          onClick={() => order.set("worst")}
          title="Worst first (w)"
        >
          worst
        </button>
      </div>
      <button
        type="button"
        class="tool"
        aria-pressed={turned.value}
        onClick={() => turned.set(!turned.value)}
        title="Swap rows and columns (t)"
      >
        turn
      </button>
      <Groups />
      <div class="pair" role="group" aria-label="Size">
        <button
          type="button"
          onClick={() => resize(-1)}
          disabled={size.value === "small"}
          aria-label="Smaller cells"
          title="Smaller (-)"
        >
          −
        </button>
        <button
          type="button"
          onClick={() => resize(1)}
          disabled={size.value === "large"}
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
  if (cell !== undefined) openStream(cell.host, cell.service);
}

function Grid() {
  const box = useRef<HTMLDivElement>(null);
  const spacer = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const [words, setWords] = useState("");
  useEffect(() => {
    if (box.current === null || spacer.current === null || canvas.current === null) return;
    const made = new Board(store, box.current, spacer.current, canvas.current);
    made.clock(() => still.value || serverNow());
    board = made;
    made.update(order.value, turned.value, size.value, grouping.value);
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
    board?.update(order.value, turned.value, size.value, grouping.value);
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
  const step = (rows: number, columns: number) => {
    if (board === null) return;
    const at = board.focusPlace();
    const first = board.focus === null;
    document.getElementById(GRID)?.focus();
    moveTo(first ? at : { row: at.row + rows, column: at.column + columns });
  };
  const edge = (row: number | null, column: number | null) => {
    if (board === null) return;
    const at = board.focusPlace();
    moveTo({ row: row ?? at.row, column: column ?? at.column });
  };
  useKeys("Grid", [
    { keys: "k", also: ["ArrowUp"], does: "up", act: () => step(-1, 0) },
    { keys: "j", also: ["ArrowDown"], does: "down", act: () => step(1, 0) },
    { keys: "h", also: ["ArrowLeft"], does: "left", act: () => step(0, -1) },
    { keys: "l", also: ["ArrowRight"], does: "right", act: () => step(0, 1) },
    { keys: "PageUp", act: () => step(-(board?.page ?? 1), 0) },
    { keys: "PageDown", act: () => step(board?.page ?? 1, 0) },
    { keys: "Home", does: "first of the row; with Ctrl of all", act: () => edge(null, 0) },
    {
      keys: "End",
      does: "last of the row; with Ctrl of all",
      act: () => edge(null, Number.MAX_SAFE_INTEGER),
    },
    { keys: "Ctrl+Home", act: () => edge(0, 0) },
    { keys: "Ctrl+End", act: () => edge(Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER) },
    {
      keys: "Enter",
      does: "open the stream",
      act: () => {
        const focus = board?.focus;
        if (focus !== null && focus !== undefined) open(store.get(focus.host, focus.service));
      },
    },
    { keys: "n", does: "next stream in trouble", act: goToTrouble },
    {
      keys: "w",
      does: "worst first, or by name",
      act: () => order.set(order.value === "name" ? "worst" : "name"),
    },
    { keys: "t", does: "swap rows and columns", act: () => turned.set(!turned.value) },
    {
      keys: "c",
      does: "group rows by tag",
      act: () => grouping.set(grouping.value === "" ? "tag" : ""),
    },
    { keys: "+", also: ["="], does: "larger cells", act: () => resize(1) },
    { keys: "-", does: "smaller cells", act: () => resize(-1) },
    { keys: " ", does: "pause, or go on", act: hold },
    {
      keys: "Escape",
      when: () => board?.focus !== null && opened.value === null,
      act: () => {
        if (board === null) return;
        board.focus = null;
        pointed.value = null;
        board.request();
      },
    },
  ]);
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
      <div class="grid-box">
        {/* biome-ignore lint/a11y/useKeyWithClickEvents: the keys of the grid are registered with all others */}
        <div
          id={GRID}
          ref={box}
          class={`grid ${lost ? "grid-lost" : ""}`}
          role="application"
          tabIndex={0}
          aria-label="Streams, hosts by services. Arrow keys or j k h l move, Enter opens, n goes to the next in trouble."
          aria-describedby="grid-words"
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

export function GridView() {
  return <Grid />;
}
