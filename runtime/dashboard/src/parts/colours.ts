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

function mixed(from: Triple, to: Triple, share: number): string {
  const [r, g, b] = from.map((value, n) => Math.round(value + ((to[n] ?? 0) - value) * share));
  return `rgb(${r},${g},${b})`;
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
    states[state] = {
      fill: steps.map((n) => mixed(ground, fill, share(n))),
      // On a faded background the ink that suits the ground is the readable one.
      ink: steps.map((n) => mixed(faded, ink, Math.max(0, (share(n) - 0.35) / 0.65))),
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
