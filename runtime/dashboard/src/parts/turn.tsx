// Which of the two is shown below the grid: the rules, or the node that runs them.

import { look, view } from "../page.ts";

export function turnBelow(): void {
  look({ node: !view.value.node });
}

export function Turn() {
  const node = view.value.node;
  return (
    <fieldset class="pair turn" aria-label="Shown below the grid">
      <button type="button" aria-pressed={!node} onClick={() => look({ node: false })} title="Rules (o)">
        rules
      </button>
      <button
        type="button"
        aria-pressed={node}
        onClick={() => look({ node: true })}
        title="The node itself (o)"
      >
        node
      </button>
    </fieldset>
  );
}
