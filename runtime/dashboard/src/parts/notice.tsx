// What was done, and what went wrong, in a corner of the page until it has been read.

import { signal } from "@preact/signals";

interface Notice {
  id: number;
  text: string;
  bad: boolean;
}

/** Notices that are kept on the page. */
const MOST = 4;
const SHOWN = 8_000;

const notices = signal<Notice[]>([]);
let count = 0;

/** Says it. What went well goes by itself; what went wrong stays until it is closed. */
export function notify(text: string, bad = false): void {
  const id = count++;
  notices.value = [...notices.value, { id, text, bad }].slice(-MOST);
  if (!bad) setTimeout(() => dismiss(id), SHOWN);
}

function dismiss(id: number): void {
  notices.value = notices.value.filter((notice) => notice.id !== id);
}

export function Notices() {
  return (
    <div class="notices" role="status" aria-live="polite">
      {notices.value.map(({ id, text, bad }) => (
        <p key={id} class={bad ? "notice notice-bad" : "notice"}>
          <span>{text}</span>
          <button type="button" class="icon" aria-label="Close this message" onClick={() => dismiss(id)}>
            ×
          </button>
        </p>
      ))}
    </div>
  );
}
