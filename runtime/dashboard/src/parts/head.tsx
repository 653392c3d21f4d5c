// The top of the page: what is looked at, whether it lives, and what can be turned.

import { viewName } from "../address.ts";
import { pending } from "../keys.ts";
import { kiosk, turnKiosk } from "../kiosk.ts";
import { timeOfDay } from "../logic/format.ts";
import { clean } from "../logic/names.ts";
import { link, query, serverNow, tick } from "../page.ts";
import { theme, turnTheme } from "../theme.ts";
import { ENTRIES } from "../views.tsx";
import { helping } from "./help.tsx";
import { QueryBar } from "./query.tsx";
import { openViews } from "./views.tsx";

function Mark() {
  return (
    <svg class="mark" viewBox="0 0 32 32" aria-hidden="true">
      <path class="mark-gate" d="M8 5v14M16 5v14M24 5v14" />
      <path class="mark-tide" d="M3 25q3.25-3.4 6.5 0t6.5 0 6.5 0 6.5 0" />
    </svg>
  );
}

function LinkState() {
  const now = tick.value;
  const at = link.value;
  if (at.state === "live")
    return (
      <span class="link link-live" role="status">
        <i aria-hidden="true" />
        live
      </span>
    );
  if (at.state === "connecting")
    return (
      <span class="link" role="status">
        <i aria-hidden="true" />
        connecting
      </span>
    );
  const wait = Math.max(0, Math.ceil((at.next - now) / 1000));
  return (
    <span class="link link-lost" title={at.reason}>
      <i aria-hidden="true" />
      <span role="status">reconnecting</span>
      {wait > 0 && <span class="count"> {wait} s</span>}
    </span>
  );
}

function Clock() {
  void tick.value;
  const at = serverNow();
  return (
    <time class="clock" title={`${new Date(at).toISOString().slice(0, 10)}, the server's clock in UTC`}>
      {timeOfDay(at, true)}
      <small>UTC</small>
    </time>
  );
}

function Icon(props: { label: string; title: string; act: () => void; path: string }) {
  return (
    <button type="button" class="icon" onClick={props.act} aria-label={props.label} title={props.title}>
      <svg viewBox="0 0 16 16" aria-hidden="true">
        <path d={props.path} fill-rule="evenodd" />
      </svg>
    </button>
  );
}

function Tools() {
  return (
    <>
      <Icon
        label="Saved views"
        title="Saved views (v)"
        act={openViews}
        path="M4 1.5h8a1 1 0 0 1 1 1V14.5l-5-3.2-5 3.2V2.5a1 1 0 0 1 1-1ZM4.6 3.1v8.5L8 9.4l3.4 2.2V3.1Z"
      />
      <Icon
        label={`Turn to ${theme.value === "light" ? "dark" : "light"}`}
        title="Light or dark (d)"
        act={turnTheme}
        path="M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1Zm0 1.8v10.4A5.2 5.2 0 0 1 8 2.8Z"
      />
      <Icon
        label="Kiosk"
        title="Kiosk: the view and nothing else (f)"
        act={turnKiosk}
        path="M1.5 1.5h5v1.7H3.2v3.3H1.5ZM9.5 1.5h5v5h-1.7V3.2H9.5ZM1.5 9.5h1.7v3.3h3.3v1.7h-5ZM12.8 9.5h1.7v5h-5v-1.7h3.3Z"
      />
      <button
        type="button"
        class="icon"
        onClick={() => {
          helping.value = true;
        }}
        aria-label="Keys and help"
        title="Keys and help (?)"
      >
        ?
      </button>
    </>
  );
}

export function Head() {
  const { title, queried } = ENTRIES[viewName.value];
  return (
    <header class="head">
      <h1>
        <Mark />
        <span class="head-title">{title}</span>
      </h1>
      {kiosk.value ? (
        <span class="head-query">
          {queried && query.value !== "" && <code>{clean(query.value, 200)}</code>}
        </span>
      ) : queried ? (
        <QueryBar />
      ) : (
        <span class="head-query" />
      )}
      <div class="head-end">
        {pending.value !== "" && (
          <span class="head-pending" role="status">
            <kbd>{pending.value}</kbd> …
          </span>
        )}
        <LinkState />
        <Clock />
        {!kiosk.value && <Tools />}
      </div>
    </header>
  );
}
