// Questions that stand before everything else: whether something is really to be done, and with what words.

import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { by, Failed, sign } from "../api.ts";
import { Unlock } from "./unlock.tsx";

interface Field {
  name: string;
  label: string;
  /** What it is when nobody says otherwise. */
  value?: string;
  needed?: boolean;
  /** A list to choose from, or several lines to write. */
  options?: readonly { value: string; label: string }[];
  long?: boolean;
  /** Values of which one click takes one. */
  quick?: readonly { label: string; value: string }[];
  hint?: string;
  most?: number;
}

export interface Question {
  title: string;
  /** What will happen, in a sentence or two. */
  text?: ComponentChildren;
  fields?: readonly Field[];
  /** What the button says. */
  action: string;
  danger?: boolean;
  /** Whether the asked must say who they are. */
  signed?: boolean;
  /** Does it; an error keeps the question open and is shown in it. */
  act: (answers: Record<string, string>) => Promise<void>;
}

const asked = signal<Question | null>(null);

/** Asks. */
export function question(what: Question): void {
  asked.value = what;
}

const BY = "by";

/** The one question that is open. It is put on the page once. */
export function Dialog() {
  const now = asked.value;
  return now === null ? null : <Open key={now.title} now={now} />;
}

function Open({ now }: { now: Question }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const fields: readonly Field[] =
    now.signed === true
      ? [...(now.fields ?? []), { name: BY, label: "your name", value: by.value, needed: true, most: 100 }]
      : (now.fields ?? []);
  const [answers, setAnswers] = useState<Record<string, string>>(() =>
    Object.fromEntries(fields.map(({ name, value }) => [name, value ?? ""])),
  );
  const [problem, setProblem] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  useEffect(() => dialog.current?.showModal(), []);
  const close = () => {
    if (!busy) asked.value = null;
  };
  const put = (name: string, value: string) => {
    setAnswers((before) => ({ ...before, [name]: value }));
    setProblem(null);
  };
  const go = async () => {
    const missing = fields.find(({ name, needed }) => needed === true && answers[name]?.trim() === "");
    if (missing !== undefined) {
      setProblem(`${missing.label} is needed`);
      document.getElementById(`ask-${missing.name}`)?.focus();
      return;
    }
    setBusy(true);
    setProblem(null);
    if (now.signed === true) sign((answers[BY] ?? "").trim());
    try {
      await now.act(answers);
      asked.value = null;
    } catch (error) {
      setProblem(error instanceof Failed ? error.message : String(error));
      setBusy(false);
    }
  };
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: Escape closes a dialog by itself
    <dialog
      class="ask"
      ref={dialog}
      aria-labelledby="ask-title"
      onClose={close}
      onCancel={(event) => busy && event.preventDefault()}
      onClick={(event) => event.target === dialog.current && close()}
    >
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void go();
        }}
      >
        <h2 id="ask-title">{now.title}</h2>
        {now.text !== undefined && <div class="ask-text">{now.text}</div>}
        {fields.map((field) => (
          <Asked key={field.name} field={field} value={answers[field.name] ?? ""} put={put} />
        ))}
        {problem !== null && (
          <p class="complaint" role="alert">
            {problem}
          </p>
        )}
        <Unlock />
        <div class="ask-end">
          <button type="button" class="tool" onClick={close} disabled={busy}>
            cancel
          </button>
          <button type="submit" class={now.danger === true ? "primary danger" : "primary"} disabled={busy}>
            {busy ? "…" : now.action}
          </button>
        </div>
      </form>
    </dialog>
  );
}

function Asked({
  field,
  value,
  put,
}: {
  field: Field;
  value: string;
  put: (name: string, value: string) => void;
}) {
  const { name, label, options, long, quick, hint, most = 4096 } = field;
  const id = `ask-${name}`;
  const take = (event: Event) => put(name, (event.currentTarget as HTMLInputElement).value);
  const common = {
    id,
    value,
    "aria-required": field.needed === true,
    "aria-describedby": hint === undefined ? undefined : `${id}-hint`,
  };
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {options !== undefined ? (
        <select {...common} onChange={take}>
          {options.map((option) => (
            <option key={option.value} value={option.value}>
              {option.label}
            </option>
          ))}
        </select>
      ) : long === true ? (
        <textarea {...common} rows={2} maxLength={most} spellcheck={false} onInput={take} />
      ) : (
        <input {...common} maxLength={most} spellcheck={false} autocomplete="off" onInput={take} />
      )}
      {quick !== undefined && (
        <div class="quick">
          {quick.map((choice) => (
            <button
              key={choice.label}
              type="button"
              class="tool"
              aria-pressed={value === choice.value}
              onClick={() => put(name, choice.value)}
            >
              {choice.label}
            </button>
          ))}
        </div>
      )}
      {hint !== undefined && (
        <small id={`${id}-hint`} class="quiet">
          {hint}
        </small>
      )}
    </div>
  );
}
