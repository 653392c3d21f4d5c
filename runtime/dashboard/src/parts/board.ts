// The grid itself: only what is in sight is drawn, on one canvas that stays in place while the box around it scrolls.

import { Axes, type Axis, type Order } from "../logic/axes.ts";
import { brief, grouped as digits } from "../logic/format.ts";
import { type Grouping, grouped, type Head, labels, tagsOf } from "../logic/groups.ts";
import { clean, fitted, type Name, shortened, shown, wrapped } from "../logic/names.ts";
import { GLYPHS, SEVERITY, STATES, type State } from "../logic/state.ts";
import { type Cell, freshness, metricOf, type Store } from "../logic/store.ts";
import { type Colours, colours, STEPS } from "./colours.ts";

export type Size = "small" | "normal" | "large";

interface Measure {
  row: number;
  narrowest: number;
  widest: number;
  font: number;
  glyph: number;
  gap: number;
}

const MEASURES: Readonly<Record<Size, Measure>> = {
  small: { row: 17, narrowest: 19, widest: 34, font: 11, glyph: 9, gap: 1 },
  normal: { row: 26, narrowest: 68, widest: 168, font: 12, glyph: 10, gap: 2 },
  large: { row: 42, narrowest: 112, widest: 260, font: 17, glyph: 15, gap: 3 },
};

/** Column names stand upright when columns are narrower than this. */
const UPRIGHT = 60;
const UPRIGHT_HEAD = 112;
const PAD = 8;

/** After a touch the order stays as it is for so long, so that nothing runs away from the pointer. */
const CALM = 3_000;

/** With more streams than this the order is worked out only so often, in milliseconds. */
const MANY = 2_000;
const REST = 900;

/** How long a change of state stands out. */
const FLASH = 1_500;

/** Fitted labels that are remembered. */
const MOST_FITTED = 8_000;

/** How long the groups of rows are good for, in milliseconds, while no stream comes or goes. */
const REGROUP = 5_000;

const EMPTY: Axis = { names: [], common: { prefix: "", suffix: "" } };

/** The rows: undefined where the line of a group stands. */
interface Rows {
  names: (Name | undefined)[];
  common: Axis["common"];
  heads: ReadonlyMap<number, Head>;
}

const UNGROUPED: ReadonlyMap<number, Head> = new Map();

export interface Place {
  row: number;
  column: number;
}

export class Board {
  rows: Rows = { ...EMPTY, heads: UNGROUPED };
  columns: Axis = EMPTY;
  /** The stream that the keyboard is on. */
  focus: { host: Name; service: Name } | null = null;
  private hover: Place | null = null;
  private readonly axes = new Axes();
  private readonly glyphs = Object.fromEntries(
    STATES.map((state) => [state, new Path2D(GLYPHS[state])]),
  ) as Record<State, Path2D>;
  private readonly pen: CanvasRenderingContext2D;
  private palette: Colours;
  private width = 0;
  private height = 0;
  private ratio = 1;
  private headWidth = 0;
  private headHeight = 0;
  private cellWidth = 0;
  private labels = new Map<string, string>();
  private most = new Map<Name, number>();
  private touched = Number.NEGATIVE_INFINITY;
  private sorted = Number.NEGATIVE_INFINITY;
  private frame = 0;
  private laidOut = "";
  private order: Order = "name";
  private grouping: Grouping = "";
  private under = new Map<Name, string>();
  private regrouped = { at: Number.NEGATIVE_INFINITY, key: "" };
  private turned = false;
  private size: Size = "normal";
  private now: () => number = Date.now;

  constructor(
    private readonly store: Store,
    private readonly box: HTMLElement,
    private readonly spacer: HTMLElement,
    private readonly canvas: HTMLCanvasElement,
  ) {
    const pen = canvas.getContext("2d", { alpha: false });
    if (pen === null) throw new Error("this browser has no 2D canvas");
    this.pen = pen;
    this.palette = colours();
  }

  /** Sets the clock that freshness is told by. */
  clock(now: () => number): void {
    this.now = now;
  }

  /** The colours or the font changed. */
  repaint(): void {
    this.palette = colours();
    this.labels.clear();
    this.laidOut = "";
    this.request();
  }

  /** The pointer or a key was used: the order holds still for a while. */
  touch(): void {
    this.touched = performance.now();
  }

  /** Brings order and sizes up to date. */
  update(order: Order, turned: boolean, size: Size, grouping: Grouping): void {
    const calm = order === "worst" && this.order === order && performance.now() - this.touched < CALM;
    const busy = this.store.size > MANY && this.order === order && performance.now() - this.sorted < REST;
    if (!busy && (!calm || !this.axes.knows(this.store))) {
      this.axes.update(this.store, order);
      this.sorted = performance.now();
    }
    this.order = order;
    this.turned = turned;
    this.size = size;
    this.grouping = grouping;
    const [rows, columns] = turned
      ? [this.axes.services, this.axes.hosts]
      : [this.axes.hosts, this.axes.services];
    this.columns = columns;
    this.rows = { ...rows, ...this.groups(rows.names) };
    this.measureMost();
    this.layOut();
    this.request();
  }

  /** The rows under the lines of their groups. */
  private groups(names: Name[]): { names: (Name | undefined)[]; heads: ReadonlyMap<number, Head> } {
    if (this.grouping === "") return { names, heads: UNGROUPED };
    const key = `${this.grouping}|${this.turned}|${this.store.membership}`;
    if (
      this.regrouped.key !== key &&
      performance.now() - this.regrouped.at > (this.under.size > 0 ? REST : 0)
    )
      this.regrouped.at = Number.NEGATIVE_INFINITY;
    if (performance.now() - this.regrouped.at > REGROUP) {
      this.under = labels(tagsOf(this.store, this.turned, this.grouping !== "tag"), this.grouping);
      this.regrouped = { at: performance.now(), key };
    }
    return grouped(names, this.under, this.order === "name");
  }

  resize(): void {
    this.width = this.box.clientWidth;
    this.height = this.box.clientHeight;
    this.ratio = Math.min(3, window.devicePixelRatio || 1);
    this.canvas.width = Math.max(1, Math.round(this.width * this.ratio));
    this.canvas.height = Math.max(1, Math.round(this.height * this.ratio));
    this.canvas.style.width = `${this.width}px`;
    this.canvas.style.height = `${this.height}px`;
    this.laidOut = "";
    this.layOut();
    this.paint();
  }

  /** Draws with the next frame of the screen. */
  request(): void {
    if (this.frame !== 0) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.paint();
    });
  }

  dispose(): void {
    cancelAnimationFrame(this.frame);
  }

  cellAt(place: Place): Cell | undefined {
    const row = this.rows.names[place.row];
    const column = this.columns.names[place.column];
    if (row === undefined || column === undefined) return undefined;
    return this.turned ? this.store.get(column, row) : this.store.get(row, column);
  }

  /** Which cell is under a point of the box. */
  hit(x: number, y: number): Place | null {
    if (x < this.headWidth || y < this.headHeight) return null;
    const column = Math.floor((x - this.headWidth + this.box.scrollLeft) / this.cellWidth);
    const row = Math.floor((y - this.headHeight + this.box.scrollTop) / this.measure.row);
    if (row >= this.rows.names.length || column >= this.columns.names.length) return null;
    return { row, column };
  }

  /** Where a cell is, in the box. */
  rectOf({ row, column }: Place): DOMRect {
    return new DOMRect(
      this.headWidth + column * this.cellWidth - this.box.scrollLeft,
      this.headHeight + row * this.measure.row - this.box.scrollTop,
      this.cellWidth,
      this.measure.row,
    );
  }

  point(place: Place | null): void {
    if (place?.row === this.hover?.row && place?.column === this.hover?.column) return;
    this.hover = place;
    this.request();
  }

  placeOf(host: Name, service: Name): Place | null {
    const [row, column] = this.turned ? [service, host] : [host, service];
    const at = { row: this.rows.names.indexOf(row), column: this.columns.names.indexOf(column) };
    return at.row < 0 || at.column < 0 ? null : at;
  }

  /** Where the keyboard is; the first cell if it is nowhere yet. */
  focusPlace(): Place {
    const place = this.focus === null ? null : this.placeOf(this.focus.host, this.focus.service);
    return place ?? { row: 0, column: 0 };
  }

  /** Moves the keyboard's focus, and brings it into sight. */
  focusOn(place: Place): Cell | undefined {
    const row = Math.max(0, Math.min(place.row, this.rows.names.length - 1));
    const column = Math.max(0, Math.min(place.column, this.columns.names.length - 1));
    if (this.rows.heads.has(row)) {
      // The line of a group has no cells: on to the row beyond it, seen from where the focus was.
      const up = this.focus !== null && this.focusPlace().row > row && row > 0;
      return this.focusOn({ row: up ? row - 1 : row + 1, column });
    }
    const [a, b] = [this.rows.names[row], this.columns.names[column]];
    if (a === undefined || b === undefined) return undefined;
    this.focus = this.turned ? { host: b, service: a } : { host: a, service: b };
    const left = column * this.cellWidth;
    const top = row * this.measure.row;
    const roomX = this.width - this.headWidth;
    const roomY = this.height - this.headHeight;
    if (left < this.box.scrollLeft) this.box.scrollLeft = left;
    else if (left + this.cellWidth > this.box.scrollLeft + roomX)
      this.box.scrollLeft = left + this.cellWidth - roomX;
    if (top < this.box.scrollTop) this.box.scrollTop = top;
    else if (top + this.measure.row > this.box.scrollTop + roomY)
      this.box.scrollTop = top + this.measure.row - roomY;
    this.request();
    return this.cellAt({ row, column });
  }

  /** Rows that fit on one page. */
  get page(): number {
    return Math.max(1, Math.floor((this.height - this.headHeight) / this.measure.row) - 1);
  }

  /** The next cell in trouble after the focus, worst state first, in reading order. */
  nextTrouble(): Place | null {
    const places: (Place & { severity: number })[] = [];
    const rowAt = new Map(this.rows.names.map((name, n) => [name, n]));
    const columnAt = new Map(this.columns.names.map((name, n) => [name, n]));
    for (const cell of this.store.cells()) {
      const severity = SEVERITY[cell.state];
      if (severity <= SEVERITY.expired) continue;
      const [a, b] = this.turned ? [cell.service, cell.host] : [cell.host, cell.service];
      const [row, column] = [rowAt.get(a), columnAt.get(b)];
      if (row !== undefined && column !== undefined) places.push({ row, column, severity });
    }
    places.sort((a, b) => b.severity - a.severity || a.row - b.row || a.column - b.column);
    const here = this.focus === null ? null : this.focusPlace();
    const at = places.findIndex((place) => place.row === here?.row && place.column === here.column);
    return places[(at + 1) % places.length] ?? null;
  }

  private get measure(): Measure {
    return MEASURES[this.size];
  }

  private measureMost(): void {
    this.most.clear();
    for (const cell of this.store.cells()) {
      const metric = metricOf(cell);
      if (metric !== null && metric > (this.most.get(cell.service) ?? 0)) this.most.set(cell.service, metric);
    }
  }

  private font(weight = 400, size = this.measure.font): string {
    return `${weight} ${size}px ${this.palette.font}`;
  }

  private fit(text: string, room: number, font: string): string {
    const key = `${room}|${font.length}${font.slice(0, 9)}|${text}`;
    const known = this.labels.get(key);
    if (known !== undefined) return known;
    if (this.labels.size >= MOST_FITTED) this.labels.clear();
    this.pen.font = font;
    const label = fitted(text, room, (part) => this.pen.measureText(part).width);
    this.labels.set(key, label);
    return label;
  }

  /** A name in one line, or in two when it has room to break. */
  private lines(name: string, room: number, font: string): string[] {
    if (this.fit(name, room, font) === name) return [name];
    this.pen.font = font;
    return wrapped(name, (part) => this.pen.measureText(part).width).map((line) =>
      this.fit(line, room, font),
    );
  }

  private layOut(): void {
    const { row, narrowest, widest, font } = this.measure;
    const key = `${this.width}x${this.height}|${this.size}|${this.turned}|${this.store.membership}|${this.rows.names.length}|${this.grouping}`;
    if (key === this.laidOut || this.width === 0) return;
    this.laidOut = key;
    const most = Math.max(
      96,
      Math.min(this.size === "large" ? 360 : 260, this.width * (this.width < 600 ? 0.38 : 0.3)),
    );
    this.pen.font = this.font(500, Math.min(font + 1, 16));
    // The longest names in letters are the widest ones, near enough.
    const longest = this.rows.names
      .map((name) => (name === undefined ? "" : shortened(name, this.rows.common)))
      .sort((a, b) => b.length - a.length);
    const wanted = Math.max(0, ...longest.slice(0, 40).map((name) => this.pen.measureText(name).width));
    this.headWidth = Math.ceil(Math.min(most, Math.max(96, wanted + 2 * PAD + 4)));
    const room = this.width - this.headWidth;
    this.cellWidth = Math.floor(
      Math.max(narrowest, Math.min(widest, room / Math.max(1, this.columns.names.length))),
    );
    this.headHeight = this.cellWidth < UPRIGHT ? this.uprightHeight() : this.size === "large" ? 50 : 40;
    this.spacer.style.width = `${this.headWidth + this.cellWidth * this.columns.names.length}px`;
    this.spacer.style.height = `${this.headHeight + row * this.rows.names.length}px`;
  }

  /** The height that upright column names need. */
  private uprightHeight(): number {
    this.pen.font = this.font(600, 11);
    let most = 40;
    // Past this many the longest of them is long enough for any.
    for (const name of this.columns.names.slice(0, 400)) {
      most = Math.max(most, this.pen.measureText(shortened(name, this.columns.common)).width + 18);
      if (most >= UPRIGHT_HEAD) return UPRIGHT_HEAD;
    }
    return Math.ceil(most);
  }

  private paint(): void {
    const { pen, width, height, palette, headWidth, headHeight, cellWidth } = this;
    if (width === 0 || height === 0) return;
    const { row } = this.measure;
    const left = this.box.scrollLeft;
    const top = this.box.scrollTop;
    const firstRow = Math.max(0, Math.floor(top / row));
    const lastRow = Math.min(this.rows.names.length - 1, Math.floor((top + height - headHeight) / row));
    const firstColumn = Math.max(0, Math.floor(left / cellWidth));
    const lastColumn = Math.min(
      this.columns.names.length - 1,
      Math.floor((left + width - headWidth) / cellWidth),
    );
    pen.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    pen.fillStyle = palette.ground;
    pen.fillRect(0, 0, width, height);
    pen.direction = "ltr";
    pen.textBaseline = "middle";

    pen.save();
    pen.beginPath();
    pen.rect(headWidth, headHeight, width - headWidth, height - headHeight);
    pen.clip();
    this.paintLines(firstRow, lastRow, top);
    const now = this.now();
    for (let r = firstRow; r <= lastRow; r++) {
      for (let c = firstColumn; c <= lastColumn; c++) {
        const cell = this.cellAt({ row: r, column: c });
        if (cell !== undefined) {
          this.paintCell(cell, headWidth + c * cellWidth - left, headHeight + r * row - top, now);
        }
      }
    }
    if (this.hover !== null && this.cellAt(this.hover) !== undefined)
      this.outline(this.hover, palette.text, 1.5);
    if (this.focus !== null) {
      const place = this.placeOf(this.focus.host, this.focus.service);
      if (place !== null) this.outline(place, palette.accent, 2.5);
    }
    pen.restore();
    this.paintRowNames(firstRow, lastRow, top);
    this.paintHeads(firstRow, lastRow, top);
    this.paintColumnNames(firstColumn, lastColumn, left);
    this.paintCorner();
  }

  /** The cells of each group in trouble, as the lines above the groups say it. */
  private paintHeads(first: number, last: number, top: number): void {
    const { pen, palette, headHeight, width } = this;
    const { row, font } = this.measure;
    for (const [at, { label, rows }] of this.rows.heads) {
      if (at < first || at > last) continue;
      const y = headHeight + at * row - top;
      pen.fillStyle = palette.raised;
      pen.fillRect(0, y, width, row);
      const face = this.font(650, Math.min(font + 1, 17));
      pen.textAlign = "left";
      pen.font = face;
      pen.fillStyle = palette.text;
      const text = this.fit(clean(label), Math.max(40, width * 0.5), face);
      pen.fillText(text, PAD, y + row / 2 + 0.5);
      const after = PAD + pen.measureText(text).width + 10;
      pen.font = this.font(400, Math.min(font, 15));
      pen.fillStyle = palette.muted;
      pen.fillText(digits(rows), after, y + row / 2 + 0.5);
    }
  }

  private paintLines(first: number, last: number, top: number): void {
    this.pen.fillStyle = this.palette.line;
    for (let r = first; r <= last; r++) {
      this.pen.fillRect(
        this.headWidth,
        this.headHeight + (r + 1) * this.measure.row - top - 0.5,
        this.width,
        0.5,
      );
    }
  }

  private paintCell(cell: Cell, x: number, y: number, now: number): void {
    const { pen, cellWidth } = this;
    const { row, font, glyph, gap } = this.measure;
    const paint = this.palette.states[cell.state];
    const step = Math.round(freshness(cell, now) * STEPS);
    const ink = paint.ink[step] ?? "";
    const [w, h] = [cellWidth - gap, row - gap];
    pen.fillStyle = paint.fill[step] ?? "";
    pen.beginPath();
    pen.roundRect(x + gap / 2, y + gap / 2, w, h, this.size === "small" ? 2 : 3);
    pen.fill();
    if (cell.gone > 0) {
      pen.strokeStyle = ink;
      pen.lineWidth = 1;
      pen.setLineDash([3, 3]);
      pen.stroke();
      pen.setLineDash([]);
    } else if (cell.changed > 0 && Date.now() - cell.changed < FLASH) {
      const worse = SEVERITY[cell.state] > SEVERITY.ok;
      pen.strokeStyle = worse ? this.palette.text : this.palette.muted;
      pen.lineWidth = worse ? 1.5 : 1;
      pen.stroke();
      this.requestSoon();
    }
    const roomy = cellWidth >= UPRIGHT;
    const scale = glyph / 16;
    const glyphX = roomy ? x + gap / 2 + 6 : x + (cellWidth - glyph) / 2;
    pen.save();
    pen.translate(glyphX, y + (row - glyph) / 2);
    pen.scale(scale, scale);
    pen.fillStyle = ink;
    pen.fill(this.glyphs[cell.state], "evenodd");
    pen.restore();
    if (!roomy) return;
    const metric = metricOf(cell);
    const own = cell.state === "other" || metric === null ? shown(cell.event.state ?? "") : "";
    const text = own !== "" && (metric === null || cellWidth > 110) ? own : brief(metric);
    const room = w - glyph - 18;
    const face = this.font(cell.state === "critical" || this.size === "large" ? 600 : 450, font);
    const label = this.fit(text, room, face);
    pen.font = face;
    pen.fillStyle = ink;
    pen.textAlign = "right";
    pen.fillText(label, x + cellWidth - gap / 2 - 6, y + row / 2 + 0.5);
    const most = this.most.get(cell.service) ?? 0;
    if (metric !== null && metric > 0 && most > 0 && cell.gone === 0) {
      pen.fillStyle = paint.bar;
      const thick = this.size === "large" ? 3 : 2;
      pen.globalAlpha = 0.25 + (0.55 * step) / STEPS;
      pen.fillRect(
        x + gap / 2 + 3,
        y + row - gap / 2 - thick - 0.5,
        (w - 6) * Math.min(1, metric / most),
        thick,
      );
      pen.globalAlpha = 1;
    }
  }

  private soon = 0;

  /** A change of state that stands out must fade even when nothing else moves. */
  private requestSoon(): void {
    if (this.soon !== 0) return;
    this.soon = window.setTimeout(() => {
      this.soon = 0;
      this.request();
    }, 300);
  }

  private outline(place: Place, colour: string, thick: number): void {
    const rect = this.rectOf(place);
    this.pen.strokeStyle = colour;
    this.pen.lineWidth = thick;
    this.pen.beginPath();
    this.pen.roundRect(rect.x + thick / 2, rect.y + thick / 2, rect.width - thick, rect.height - thick, 3);
    this.pen.stroke();
  }

  private paintRowNames(first: number, last: number, top: number): void {
    const { pen, palette, headWidth, headHeight, height } = this;
    const { row, font } = this.measure;
    pen.fillStyle = palette.head;
    pen.fillRect(0, headHeight, headWidth, height - headHeight);
    pen.save();
    pen.beginPath();
    pen.rect(0, headHeight, headWidth, height - headHeight);
    pen.clip();
    pen.textAlign = "left";
    const focused = this.focus === null ? -1 : this.focusPlace().row;
    for (let r = first; r <= last; r++) {
      if (this.rows.heads.has(r)) continue;
      const bright = r === this.hover?.row || r === focused;
      const face = this.font(bright ? 600 : 450, Math.min(font, 15));
      const label = this.fit(
        shortened(this.rows.names[r] ?? null, this.rows.common),
        headWidth - 2 * PAD,
        face,
      );
      pen.font = face;
      pen.fillStyle = bright ? palette.text : palette.muted;
      pen.fillText(label, PAD, headHeight + r * row - top + row / 2 + 0.5);
    }
    pen.restore();
  }

  private paintColumnNames(first: number, last: number, left: number): void {
    const { pen, palette, headWidth, headHeight, cellWidth, width } = this;
    const size = this.size === "large" ? 14 : 11;
    const upright = cellWidth < UPRIGHT;
    pen.fillStyle = palette.head;
    pen.fillRect(headWidth, 0, width - headWidth, headHeight);
    pen.save();
    pen.beginPath();
    pen.rect(headWidth, 0, width - headWidth, headHeight);
    pen.clip();
    const focused = this.focus === null ? -1 : this.focusPlace().column;
    for (let c = first; c <= last; c++) {
      const bright = c === this.hover?.column || c === focused;
      const face = this.font(bright ? 600 : 500, size);
      const name = shortened(this.columns.names[c] ?? null, this.columns.common);
      pen.fillStyle = bright ? palette.text : palette.muted;
      const x = headWidth + c * cellWidth - left;
      if (upright) {
        const label = this.fit(name, headHeight - 14, face);
        pen.font = face;
        pen.save();
        pen.translate(x + cellWidth / 2, headHeight - 7);
        pen.rotate(-Math.PI / 2);
        pen.textAlign = "left";
        pen.fillText(label, 0, 0.5);
        pen.restore();
      } else {
        pen.textAlign = "right";
        const lines = this.lines(name, cellWidth - 9, face);
        pen.font = face;
        const high = size * 1.2;
        const y = headHeight / 2 - ((lines.length - 1) * high) / 2;
        for (const [n, line] of lines.entries()) pen.fillText(line, x + cellWidth - 6, y + n * high);
      }
    }
    pen.restore();
  }

  private paintCorner(): void {
    const { pen, palette, headWidth, headHeight, width, height } = this;
    pen.fillStyle = palette.head;
    pen.fillRect(0, 0, headWidth, headHeight);
    const { prefix, suffix } = this.rows.common;
    const face = this.font(400, 11);
    const around = prefix === "" && suffix === "" ? "" : clean(`${prefix}*${suffix}`);
    const label = this.fit(around, headWidth - 2 * PAD, face);
    pen.font = face;
    pen.fillStyle = palette.muted;
    pen.textAlign = "left";
    pen.fillText(label, PAD, headHeight / 2 + 0.5);
    pen.fillStyle = palette.line;
    pen.fillRect(0, headHeight - 1, width, 1);
    pen.fillRect(headWidth - 1, 0, 1, height);
  }
}
