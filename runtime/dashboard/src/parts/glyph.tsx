// The shape of a state, as in the grid.

import { GLYPHS, type State } from "../logic/state.ts";

export function Glyph({ state }: { state: State }) {
  return (
    <svg class={`glyph ink-${state}`} viewBox="0 0 16 16" aria-hidden="true">
      <path d={GLYPHS[state]} fill-rule="evenodd" />
    </svg>
  );
}
