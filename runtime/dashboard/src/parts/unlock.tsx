// The token that a node may want before it changes anything, asked for where a change was refused.

import { useState } from "preact/hooks";
import { locked, unlock } from "../api.ts";

/** In a dialog, or over a view. */
export function Unlock({ over = false }) {
  const [text, setText] = useState("");
  if (!locked.value) return null;
  const go = () => {
    if (text.trim() === "") return;
    unlock(text.trim());
    setText("");
  };
  return (
    <div class={over ? "unlock toast" : "unlock"}>
      <label class="signed">
        <span>Changes need a token</span>
        <input
          type="password"
          value={text}
          maxLength={256}
          autocomplete="off"
          onInput={(event) => setText(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key !== "Enter") return;
            // Where it stands in a form, it is not the form that is meant.
            event.preventDefault();
            go();
          }}
        />
      </label>
      <button type="button" class="tool" disabled={text.trim() === ""} onClick={go}>
        use it
      </button>
    </div>
  );
}
