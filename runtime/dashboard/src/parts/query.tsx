// The query bar: what is typed is tried with Enter, and an error is underlined where it is.

import { useEffect, useRef, useState } from "preact/hooks";
import { split } from "../logic/span.ts";
import { look, query, refusal } from "../page.ts";
import "../styles/query.css";

const FIELD = "query";

/** Puts the cursor into the query, and selects what is there. */
export function focusQuery(): void {
  const field = document.getElementById(FIELD) as HTMLInputElement | null;
  field?.focus();
  field?.select();
}

export function QueryBar() {
  const applied = query.value;
  const [text, setText] = useState(applied);
  const mirror = useRef<HTMLDivElement>(null);
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => setText(applied), [applied]);
  const error = refusal.value !== null && refusal.value.query === text ? refusal.value.error : null;
  const [before, wrong, after] = split(text, error?.span);
  const follow = () => {
    if (mirror.current !== null && field.current !== null)
      mirror.current.scrollLeft = field.current.scrollLeft;
  };
  useEffect(follow);
  const apply = (text: string) => {
    const wanted = text.trim();
    setText(wanted);
    look(wanted);
  };
  return (
    <form
      class={`query ${error === null ? "" : "query-wrong"}`}
      role="search"
      onSubmit={(event) => {
        event.preventDefault();
        apply(text);
      }}
    >
      <svg class="lens" viewBox="0 0 16 16" aria-hidden="true">
        <path
          d="M6.800 1.500a5.300 5.300 0 1 0 3.200 9.500l3.600 3.600 1.100-1.100L11.100 9.900A5.300 5.300 0 0 0 6.800 1.500Zm0 1.600a3.700 3.700 0 1 1 0 7.400 3.700 3.700 0 0 1 0-7.400Z"
          fill-rule="evenodd"
        />
      </svg>
      <div class="query-box">
        <div class="mirror" ref={mirror} aria-hidden="true">
          <span>{before}</span>
          {error?.span !== undefined && <u>{wrong === "" ? "\u00a0\u00a0" : wrong}</u>}
          <span>{after}</span>
        </div>
        <input
          id={FIELD}
          ref={field}
          value={text}
          onInput={(event) => setText(event.currentTarget.value)}
          onScroll={follow}
          onKeyDown={(event) => {
            if (event.key !== "Escape") return;
            event.stopPropagation();
            if (text !== applied) setText(applied);
            else event.currentTarget.blur();
          }}
          placeholder={'every stream; for example: state = "critical" and host =~ "web%"'}
          aria-label="Query"
          aria-invalid={error !== null}
          aria-describedby={error === null ? undefined : "query-error"}
          maxLength={8192}
          spellcheck={false}
          autocomplete="off"
          autocapitalize="off"
        />
      </div>
      {text === "" ? (
        <kbd title="Press / to type a query">/</kbd>
      ) : (
        <button
          type="button"
          class="clear"
          aria-label="Clear the query"
          title="Show every stream"
          onClick={() => apply("")}
        >
          ×
        </button>
      )}
      {error !== null && (
        <div class="query-error" id="query-error" role="alert">
          <strong>{error.message}</strong>
          {error.help !== undefined && error.help !== null && error.help !== "" && <span>{error.help}</span>}
          <span class="quiet">The page still shows the last query that worked.</span>
        </div>
      )}
    </form>
  );
}
