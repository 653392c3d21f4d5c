// The keys, and enough of the query language to begin with.

import { useEffect, useRef } from "preact/hooks";
import { helping, look } from "../page.ts";

const KEYS: readonly [string[], string][] = [
  [["/"], "type a query"],
  [["g"], "go to the grid"],
  [["←", "↑", "↓", "→"], "move in the grid"],
  [["Enter"], "open the stream"],
  [["n"], "next stream in trouble"],
  [["s"], "sort by name or worst first"],
  [["t"], "swap rows and columns"],
  [["+", "−"], "larger or smaller cells"],
  [["o"], "rules or the node below the grid"],
  [["Space"], "hold what rules said"],
  [["d"], "light or dark"],
  [["Esc"], "close, or let go"],
  [["?"], "this help"],
];

const EXAMPLES: readonly [string, string][] = [
  ['state = "critical" or state = "warning"', "what needs a look"],
  ['host =~ "web%"', "% stands for anything"],
  ['service ~= "p9[59]$"', "a regular expression"],
  ["metric > 0.9 and not host = nil", "numbers, and whether a field is there"],
  ['tagged "prod"', "one of its tags"],
];

export function Help() {
  const dialog = useRef<HTMLDialogElement>(null);
  const open = helping.value;
  useEffect(() => {
    if (open) dialog.current?.showModal();
    else dialog.current?.close();
  }, [open]);
  const close = () => {
    helping.value = false;
  };
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: Escape closes a dialog by itself
    <dialog
      ref={dialog}
      aria-labelledby="help-title"
      onClose={close}
      onClick={(event) => event.target === dialog.current && close()}
    >
      {open && (
        <div class="help">
          <div class="panel-head">
            <h2 id="help-title">Keys and queries</h2>
            <button type="button" class="icon" aria-label="Close" onClick={close}>
              ×
            </button>
          </div>
          <div class="help-body">
            <dl class="keys">
              {KEYS.map(([keys, what]) => (
                <div key={what}>
                  <dt>
                    {keys.map((key) => (
                      <kbd key={key}>{key}</kbd>
                    ))}
                  </dt>
                  <dd>{what}</dd>
                </div>
              ))}
            </dl>
            <div>
              <h3>Queries</h3>
              <ul class="examples">
                {EXAMPLES.map(([query, what]) => (
                  <li key={query}>
                    <button
                      type="button"
                      onClick={() => {
                        close();
                        look({ query });
                      }}
                    >
                      <code>{query}</code>
                    </button>
                    <span>{what}</span>
                  </li>
                ))}
              </ul>
              <p class="quiet">
                The address of this page holds the query and the view: copy it to share what you see.
              </p>
            </div>
          </div>
        </div>
      )}
    </dialog>
  );
}
