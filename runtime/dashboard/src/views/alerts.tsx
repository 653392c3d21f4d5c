// Alerts: what rules told people about, what was done, and what is silenced.

import { acknowledge, resolve, silence, unacknowledge } from "../alerts/act.ts";
import { chosen, closeAlert, FIND, List, mark, marked, meant, renew, show, step } from "../alerts/list.tsx";
import { One, Tools } from "../alerts/one.tsx";
import { Silences } from "../alerts/silences.tsx";
import { useKeys } from "../keys.ts";
import "../styles/split.css";
import "../styles/alerts.css";

const listed = (): boolean => show.value !== "silences";

export function Alerts() {
  useKeys("Alerts", [
    { keys: "j", also: ["ArrowDown"], does: "next alert", act: () => step(1), when: listed },
    { keys: "k", also: ["ArrowUp"], does: "previous alert", act: () => step(-1), when: listed },
    { keys: "a", does: "acknowledge", act: () => acknowledge(meant(), false, renew), when: listed },
    {
      keys: "A",
      does: "acknowledge, with a note",
      act: () => acknowledge(meant(), true, renew),
      when: listed,
    },
    {
      keys: "u",
      does: "take an acknowledgement back",
      act: () => unacknowledge(meant(), renew),
      when: listed,
    },
    { keys: "x", does: "silence", act: () => silence(meant(), renew) },
    { keys: "r", does: "resolve", act: () => resolve(meant(), renew), when: listed },
    {
      keys: "m",
      does: "mark, to do something to several",
      act: () => mark(chosen.value),
      when: () => listed() && chosen.value !== "",
    },
    {
      keys: "/",
      does: "type a query for alerts",
      act: () => document.getElementById(FIND)?.focus(),
      when: listed,
    },
    { keys: "Escape", act: closeAlert, when: () => chosen.value !== "" || marked.value.size > 0 },
  ]);
  if (!listed())
    return (
      <div class="split">
        <Silences />
      </div>
    );
  const some = marked.value.size > 0;
  return (
    <div class={`split ${chosen.value === "" ? "" : "split-open"}`}>
      <List act={some && <Tools alerts={meant()} />} />
      {chosen.value !== "" && <One key={chosen.value} id={chosen.value} />}
    </div>
  );
}
