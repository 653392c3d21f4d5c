// The colours that the canvas uses, read from the style sheet, so that both have one source.

import { STATES, type State } from "../logic/state.ts";

/** Steps between fresh and due. */
export const STEPS = 10;

type Triple = [number, number, number];

export interface Paint {
  /** Backgrounds from due (0) to fresh (STEPS). */
  fill: string[];
  /** Text and glyph on each of them. */
  ink: string[];
  bar: string;
}

export interface Colours {
  states: Record<State, Paint>;
  ground: string;
  head: string;
  raised: string;
  line: string;
  text: string;
  muted: string;
  accent: string;
  font: string;
}

function triple(colour: string): Triple {
  // The style sheet's minifier writes #ffffff as #fff.
  const digits = colour.slice(1).replace(/^([0-9a-f])([0-9a-f])([0-9a-f])$/iu, "$1$1$2$2$3$3");
  if (!/^[0-9a-f]{6}$/iu.test(digits)) throw new Error(`a colour as #rrggbb was expected, found "${colour}"`);
  return [0, 2, 4].map((at) => Number.parseInt(digits.slice(at, at + 2), 16)) as Triple;
}

const mixed = (from: Triple, to: Triple, share: number): Triple =>
  from.map((value, n) => Math.round(value + ((to[n] ?? 0) - value) * share)) as Triple;

const written = ([r, g, b]: Triple): string => `rgb(${r},${g},${b})`;

/** How bright a colour is, as people see it: 0 is black, 1 is white. */
function brightness(colour: Triple): number {
  const [r, g, b] = colour.map((value) => {
    const share = value / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  }) as Triple;
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

/** How well one colour is read on another: 1 not at all, 21 best. */
function contrast(one: Triple, other: Triple): number {
  const [a, b] = [brightness(one), brightness(other)];
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}

export function colours(): Colours {
  const style = getComputedStyle(document.documentElement);
  const value = (name: string) => style.getPropertyValue(`--${name}`).trim();
  const ground = triple(value("panel"));
  const states = {} as Record<State, Paint>;
  for (const state of STATES) {
    const fill = triple(value(`${state}-fill`));
    const ink = triple(value(`${state}-ink`));
    const faded = triple(value(`${state}-text`));
    const share = (n: number) => 0.2 + (0.8 * n) / STEPS;
    const steps = Array.from({ length: STEPS + 1 }, (_, n) => n);
    const fills = steps.map((n) => mixed(ground, fill, share(n)));
    states[state] = {
      fill: fills.map(written),
      // On a faded background the ink that suits the ground is the readable one.
      ink: fills.map((on) => written(contrast(ink, on) >= contrast(faded, on) ? ink : faded)),
      bar: value(`${state}-bar`) || value(`${state}-text`),
    };
  }
  return {
    states,
    ground: value("panel"),
    head: value("head"),
    raised: value("raised"),
    line: value("line"),
    text: value("text"),
    muted: value("muted"),
    accent: value("accent"),
    font: style.getPropertyValue("--sans").trim(),
  };
}
