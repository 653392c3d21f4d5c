// Fields of a deployment: each with what it means, what it was, and what is wrong with it.

import type { ComponentChildren } from "preact";
import { clean, cleanText } from "../logic/names.ts";
import type { Parameter } from "./contract.ts";

export function Field(props: {
  id: string;
  label: string;
  hint?: string | undefined;
  problem?: string | null;
  /** A word beside the label, such as its type. */
  note?: string;
  children: ComponentChildren;
}) {
  const { id, label, hint, problem = null, note } = props;
  return (
    <div class={`field ${problem === null ? "" : "field-wrong"}`}>
      <label for={id}>
        {label}
        {note !== undefined && <small>{note}</small>}
      </label>
      <div class="field-what">
        {props.children}
        {problem !== null && (
          <p class="complaint" role="alert">
            {problem}
          </p>
        )}
        {hint !== undefined && hint !== "" && <p class="hint">{hint}</p>}
      </div>
    </div>
  );
}

const TYPES: Readonly<Record<Parameter["type"], string>> = {
  number: "number",
  integer: "whole number",
  flag: "yes or no",
  text: "text",
  span: "time",
};

export function ParameterField(props: {
  parameter: Parameter;
  value: string;
  /** What runs has. */
  was: string | null;
  problem: string | null;
  put: (value: string) => void;
}) {
  const { parameter, value, was, problem, put } = props;
  const id = `set-${parameter.name}`;
  const usual = parameter.default === null ? "" : `usually ${clean(parameter.default)}`;
  const changed = was !== null && was !== value ? `was ${clean(was)}` : "";
  const note = [
    TYPES[parameter.type] ?? clean(parameter.type),
    parameter.required ? "needed" : usual,
    changed,
  ]
    .filter((word) => word !== "")
    .join(", ");
  const common = {
    id,
    value,
    "aria-required": parameter.required,
    "aria-invalid": problem !== null,
    spellcheck: false,
  };
  return (
    <Field
      id={id}
      label={clean(parameter.name)}
      note={note}
      hint={cleanText(parameter.doc)}
      problem={problem}
    >
      {parameter.type === "flag" ? (
        <select {...common} onChange={(event) => put(event.currentTarget.value)}>
          {(!parameter.required || value === "") && (
            <option value="">
              {parameter.default === null ? "not set" : `as usual (${parameter.default})`}
            </option>
          )}
          <option value="true">yes</option>
          <option value="false">no</option>
        </select>
      ) : parameter.type === "text" ? (
        <textarea {...common} class="code" rows={1} onInput={(event) => put(event.currentTarget.value)} />
      ) : (
        <input
          {...common}
          inputMode={parameter.type === "span" ? "text" : "decimal"}
          placeholder={parameter.default ?? (parameter.type === "span" ? "like 90s, 5m or 250ms" : "")}
          autocomplete="off"
          onInput={(event) => put(event.currentTarget.value)}
        />
      )}
    </Field>
  );
}
