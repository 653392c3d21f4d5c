// The keys, as they are registered, and enough of the query language to begin with.

import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { go } from "../address.ts";
import { groups } from "../keys.ts";
import { face } from "../logic/keys.ts";
import "../styles/help.css";

export const helping = signal(false);

const EXAMPLES: readonly [string, string][] = [
  ['state = "critical" or state = "warning"', "what needs a look"],
  ['host =~ "web%"', "% stands for anything"],
  ['service ~= "p9[59]$"', "a regular expression"],
  ["metric > 0.9 and not host = nil", "numbers, and whether a field is there"],
  ['tagged "prod"', "one of its tags"],
];

/** One key, or the keys of a sequence. */
function Keys({ keys }: { keys: string }) {
  return (
    <>
      {(keys === " " ? [keys] : keys.split(" ")).map((key) => (
        <kbd key={key}>{face(key)}</kbd>
      ))}
    </>
  );
}

function List() {
  return (
    <div class="help-keys">
      {groups.value.map(({ name, bindings }) => (
        <section key={name}>
          <h3>{name}</h3>
          <dl class="keys">
            {bindings
              .filter(({ does }) => does !== undefined)
              .map(({ keys, also = [], does }) => (
                <div key={keys + does}>
                  <dt>
                    <Keys keys={keys} />
                    {also
                      .filter((key) => !key.startsWith("Alt+"))
                      .map((key) => (
                        <Keys key={key} keys={key} />
                      ))}
                  </dt>
                  <dd>{does}</dd>
                </div>
              ))}
          </dl>
        </section>
      ))}
    </div>
  );
}

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
      class="help-dialog"
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
            <List />
            <div class="help-side">
              <h3>Queries</h3>
              <ul class="examples">
                {EXAMPLES.map(([query, what]) => (
                  <li key={query}>
                    <button
                      type="button"
                      onClick={() => {
                        close();
                        go("grid", { q: query });
                      }}
                    >
                      <code>{query}</code>
                    </button>
                    <span>{what}</span>
                  </li>
                ))}
              </ul>
              <p class="quiet">
                The address of this page holds the view, the query, what is open and the time span: copy it to
                share what you see.
              </p>
            </div>
          </div>
        </div>
      )}
    </dialog>
  );
}
