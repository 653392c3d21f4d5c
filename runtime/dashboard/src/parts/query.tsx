// The query bar: it proposes what could stand at the cursor, underlines an error where it is, and is tried with Enter.

import { useEffect, useRef, useState } from "preact/hooks";
import { viewName } from "../address.ts";
import { Failed, get } from "../api.ts";
import type { Completion, Refusal } from "../contract.ts";
import { clean } from "../logic/names.ts";
import { bytesAt, split, unitAt } from "../logic/span.ts";
import { look, query, refusal } from "../page.ts";
import "../styles/query.css";

const FIELD = "query";
const LIST = "query-list";

/** Milliseconds after the last key until proposals are asked for, and until the query is tried. */
const PROPOSE = 90;
const TRY = 600;

/** Puts the cursor into the query, and selects what is there. */
export function focusQuery(): void {
  const field = document.getElementById(FIELD) as HTMLInputElement | null;
  field?.focus();
  field?.select();
}

interface Proposals extends Completion {
  /** The item that Enter takes; -1 when none is chosen. */
  chosen: number;
}

/** What could stand at the cursor. */
function useProposals() {
  const [proposals, setProposals] = useState<Proposals | null>(null);
  const asked = useRef<AbortController | null>(null);
  const timer = useRef(0);
  const close = () => {
    clearTimeout(timer.current);
    asked.current?.abort();
    setProposals(null);
  };
  const ask = (text: string, at: number) => {
    clearTimeout(timer.current);
    asked.current?.abort();
    const mine = new AbortController();
    asked.current = mine;
    timer.current = window.setTimeout(() => {
      get<Completion>("complete", { query: { q: text, at: bytesAt(text, at) }, signal: mine.signal }).then(
        ({ from, to, items }) =>
          setProposals(
            items.length === 0 ? null : { from: unitAt(text, from), to: unitAt(text, to), items, chosen: -1 },
          ),
        // Typing goes on without proposals.
        () => {},
      );
    }, PROPOSE);
  };
  useEffect(() => close, []);
  return { proposals, setProposals, ask, close };
}

/** What is wrong with a text that is being typed, once the typing rests. */
function useTrial(text: string, applied: string): Refusal | null {
  const [wrong, setWrong] = useState<{ text: string; error: Refusal } | null>(null);
  useEffect(() => {
    if (text === applied || text.trim() === "") return;
    const stop = new AbortController();
    const timer = setTimeout(() => {
      get("query", { query: { q: text, limit: 1 }, signal: stop.signal }).then(
        () => setWrong(null),
        (error: unknown) => {
          if (error instanceof Failed && error.refused) setWrong({ text, error: error.refusal });
        },
      );
    }, TRY);
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [text, applied]);
  return wrong !== null && wrong.text === text ? wrong.error : null;
}

function List(props: { proposals: Proposals; pick: (n: number) => void }) {
  const { items, chosen } = props.proposals;
  const self = useRef<HTMLDivElement>(null);
  useEffect(() => {
    self.current?.querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest" });
  }, [chosen]);
  return (
    <div class="query-list" id={LIST} role="listbox" aria-label="Proposals" ref={self}>
      {items.map(({ text, kind, detail }, n) => (
        // biome-ignore lint/a11y/useKeyWithClickEvents lint/a11y/useFocusableInteractive: the field keeps the focus and the keys
        <div
          key={`${kind} ${text}`}
          id={`${LIST}-${n}`}
          role="option"
          aria-selected={n === chosen}
          onMouseDown={(event) => event.preventDefault()}
          onClick={() => props.pick(n)}
        >
          <i class={`kind kind-${kind}`}>{kind}</i>
          <code>
            <bdi>{clean(text, 120)}</bdi>
          </code>
          <span>{clean(detail ?? "", 80)}</span>
        </div>
      ))}
    </div>
  );
}

function Wrong({ error, tried }: { error: Refusal; tried: boolean }) {
  return (
    <div class="query-error" id="query-error" role="alert">
      <strong>{error.message}</strong>
      {error.help !== undefined && error.help !== null && error.help !== "" && <span>{error.help}</span>}
      {tried && (
        <span class="quiet">
          {viewName.value === "stream"
            ? "Nothing is shown until it is right."
            : "The page still shows the last query that worked."}
        </span>
      )}
    </div>
  );
}

export function QueryBar() {
  const applied = query.value;
  const [text, setText] = useState(applied);
  const [focused, setFocused] = useState(false);
  const mirror = useRef<HTMLDivElement>(null);
  const field = useRef<HTMLInputElement>(null);
  const { proposals, setProposals, ask, close } = useProposals();
  useEffect(() => setText(applied), [applied]);
  const trial = useTrial(text, applied);
  const tried = refusal.value !== null && refusal.value.query === text ? refusal.value.error : null;
  const error = tried ?? trial;
  const [before, wrong, after] = split(text, error?.span);
  const follow = () => {
    if (mirror.current !== null && field.current !== null)
      mirror.current.scrollLeft = field.current.scrollLeft;
  };
  useEffect(follow);
  const apply = (text: string) => {
    const wanted = text.trim();
    close();
    setText(wanted);
    look(wanted);
  };
  const pick = (n: number) => {
    const item = proposals?.items[n];
    const input = field.current;
    if (item === undefined || proposals === null || input === null) return;
    const rest = text.slice(proposals.to);
    const head = `${text.slice(0, proposals.from)}${item.text}${rest.startsWith(" ") ? "" : " "}`;
    setText(head + rest);
    close();
    // The cursor goes where typing goes on, once the field has the text.
    requestAnimationFrame(() => {
      input.setSelectionRange(head.length, head.length);
      ask(head + rest, head.length);
    });
  };
  const onKey = (event: KeyboardEvent & { currentTarget: HTMLInputElement }) => {
    const { key, currentTarget } = event;
    if (proposals !== null) {
      const count = proposals.items.length;
      if (key === "ArrowDown" || key === "ArrowUp") {
        event.preventDefault();
        const step = key === "ArrowDown" ? 1 : -1;
        const from = proposals.chosen < 0 && step < 0 ? count : proposals.chosen;
        setProposals({ ...proposals, chosen: (from + step + count) % count });
        return;
      }
      if ((key === "Tab" && !event.shiftKey) || (key === "Enter" && proposals.chosen >= 0)) {
        event.preventDefault();
        pick(Math.max(0, proposals.chosen));
        return;
      }
    }
    if (key === "ArrowDown" || (key === " " && event.ctrlKey)) {
      event.preventDefault();
      ask(text, currentTarget.selectionStart ?? text.length);
      return;
    }
    if (key !== "Escape") return;
    event.stopPropagation();
    if (proposals !== null) close();
    else if (text !== applied) setText(applied);
    else currentTarget.blur();
  };
  const listed = focused && proposals !== null;
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
          d="M6.8 1.5a5.3 5.3 0 1 0 3.2 9.5l3.6 3.6 1.1-1.1L11.1 9.9A5.3 5.3 0 0 0 6.8 1.5Zm0 1.6a3.7 3.7 0 1 1 0 7.4 3.7 3.7 0 0 1 0-7.4Z"
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
          role="combobox"
          aria-expanded={listed}
          aria-controls={listed ? LIST : undefined}
          aria-autocomplete="list"
          aria-activedescendant={listed && proposals.chosen >= 0 ? `${LIST}-${proposals.chosen}` : undefined}
          onInput={(event) => {
            const { value, selectionStart } = event.currentTarget;
            setText(value);
            ask(value, selectionStart ?? value.length);
          }}
          onScroll={follow}
          onKeyDown={onKey}
          onFocus={() => setFocused(true)}
          onBlur={() => {
            setFocused(false);
            close();
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
      {(listed || error !== null) && (
        <div class="query-below">
          {error !== null && <Wrong error={error} tried={tried !== null} />}
          {listed && <List proposals={proposals} pick={pick} />}
        </div>
      )}
    </form>
  );
}
