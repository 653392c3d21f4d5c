// Saved views: kept on the server for all who look at it, each a name and an address, some with a number for a key.

import { signal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { address, visit } from "../address.ts";
import { by, Failed, get, send, sign } from "../api.ts";
import type { SavedView } from "../contract.ts";
import { written } from "../logic/address.ts";
import { clean } from "../logic/names.ts";
import { Unlock } from "./unlock.tsx";
import "../styles/views.css";

const showing = signal(false);
const saved = signal<SavedView[]>([]);
const trouble = signal("");
/** What the last key of a workspace had to say. */
export const said = signal("");

/** What a name may be, as the server sees it: it is a part of an address. */
const LONGEST = 100;

/** The address as it is kept: a theme and a kiosk are matters of the screen and not of the view. */
function kept(): string {
  const { theme: _theme, kiosk: _kiosk, ...params } = address.value.params;
  return written({ view: address.value.view, params });
}

async function load(): Promise<void> {
  try {
    saved.value = (await get<{ views: SavedView[] }>("views")).views;
    trouble.value = "";
  } catch (error) {
    if (error instanceof Failed) trouble.value = error.message;
  }
}

export function openViews(): void {
  showing.value = true;
  void load();
}

function open(view: SavedView): void {
  if (typeof view.view.address !== "string") return;
  showing.value = false;
  visit(view.view.address);
}

/** Opens the saved view with this number. */
export async function workspace(number: number): Promise<void> {
  await load();
  const view = saved.value.find(({ view }) => view.workspace === number);
  if (view !== undefined) {
    open(view);
    return;
  }
  said.value = `No saved view has the number ${number}: press v to give it one.`;
  setTimeout(() => (said.value = ""), 4_000);
}

async function attempt(change: () => Promise<unknown>): Promise<void> {
  try {
    await change();
    await load();
  } catch (error) {
    trouble.value = error instanceof Failed ? error.message : String(error);
  }
}

const put = (name: string, view: SavedView["view"]) => send("PUT", `views/${encodeURIComponent(name)}`, view);

/** Gives a view a number, and takes it from whichever had it. */
async function number(view: SavedView, wanted: number): Promise<void> {
  await attempt(async () => {
    for (const other of saved.value) {
      if (other.view.workspace !== wanted || other.name === view.name || wanted === 0) continue;
      const { workspace: _workspace, ...rest } = other.view;
      await put(other.name, rest);
    }
    const { workspace: _workspace, ...rest } = view.view;
    await put(view.name, wanted === 0 ? rest : { ...rest, workspace: wanted });
  });
}

function Saved({ view }: { view: SavedView }) {
  const at = view.view.address ?? "";
  return (
    <li class="saved-view">
      <button type="button" class="saved-open" onClick={() => open(view)}>
        <strong>
          <bdi>{clean(view.name, LONGEST)}</bdi>
        </strong>
        <small>
          <bdi>{clean(at, 160)}</bdi>
          {view.by !== null && <> · {clean(view.by, 40)}</>}
        </small>
      </button>
      <label class="saved-number">
        <span class="hidden">Key of {clean(view.name, LONGEST)}</span>
        <select
          value={String(view.view.workspace ?? 0)}
          title="The key that opens it"
          onChange={(event) => void number(view, Number(event.currentTarget.value))}
        >
          <option value="0">–</option>
          {Array.from({ length: 9 }, (_, n) => (
            <option key={n} value={String(n + 1)}>
              {n + 1}
            </option>
          ))}
        </select>
      </label>
      <button
        type="button"
        class="tool"
        onClick={() => void attempt(() => send("DELETE", `views/${encodeURIComponent(view.name)}`))}
        aria-label={`Delete ${clean(view.name, LONGEST)}`}
      >
        delete
      </button>
    </li>
  );
}

export function Views() {
  const dialog = useRef<HTMLDialogElement>(null);
  const [name, setName] = useState("");
  const [copied, setCopied] = useState(false);
  const known = saved.value.find((view) => view.name === name.trim());
  const open = showing.value;
  useEffect(() => {
    if (open) dialog.current?.showModal();
    else dialog.current?.close();
    setCopied(false);
  }, [open]);
  const close = () => {
    showing.value = false;
  };
  return (
    <>
      {said.value !== "" && (
        <p class="toast" role="status">
          {said.value}
        </p>
      )}
      {/* biome-ignore lint/a11y/useKeyWithClickEvents: Escape closes a dialog by itself */}
      <dialog
        ref={dialog}
        class="views-dialog"
        aria-labelledby="views-title"
        onClose={close}
        onClick={(event) => event.target === dialog.current && close()}
      >
        {open && (
          <div>
            <div class="panel-head">
              <h2 id="views-title">Saved views</h2>
              <button type="button" class="icon" aria-label="Close" onClick={close}>
                ×
              </button>
            </div>
            <form
              class="saved-new"
              onSubmit={(event) => {
                event.preventDefault();
                if (name.trim() === "") return;
                void attempt(() => put(name.trim(), { ...known?.view, address: kept() })).then(() =>
                  setName(""),
                );
              }}
            >
              <label>
                <span>Save what you see as</span>
                <input
                  value={name}
                  maxLength={LONGEST}
                  placeholder="a name"
                  onInput={(event) => setName(event.currentTarget.value)}
                />
              </label>
              <label>
                <span>by</span>
                <input
                  value={by.value}
                  maxLength={LONGEST}
                  placeholder="your name"
                  onInput={(event) => sign(event.currentTarget.value)}
                />
              </label>
              <button type="submit" class="primary" disabled={name.trim() === ""}>
                {known === undefined ? "Save" : "Replace"}
              </button>
              <button
                type="button"
                class="tool"
                onClick={() => {
                  void navigator.clipboard?.writeText(location.href).then(() => setCopied(true));
                }}
              >
                {copied ? "copied" : "copy the address"}
              </button>
            </form>
            <Unlock />
            {trouble.value !== "" && (
              <p class="pad ink-critical" role="alert">
                {clean(trouble.value)}
              </p>
            )}
            {saved.value.length === 0 ? (
              <p class="quiet pad">
                None yet. A saved view is a name for an address: the view, its query, its order. It is kept on
                the server, for everybody.
              </p>
            ) : (
              <ul class="saved-views">
                {saved.value.map((view) => (
                  <Saved key={view.name} view={view} />
                ))}
              </ul>
            )}
          </div>
        )}
      </dialog>
    </>
  );
}
