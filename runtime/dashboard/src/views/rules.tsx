// Rules: what runs, one of them in full, and a module on its way.

import { useKeys } from "../keys.ts";
import { Deploy } from "../rules/deploy.tsx";
import { dropped } from "../rules/dropped.ts";
import { chosen, closeRule, FIND, List, step } from "../rules/list.tsx";
import { One, turn } from "../rules/one.tsx";
import "../styles/split.css";
import "../styles/rules.css";
import "../styles/deploy.css";

const isOpen = (): boolean => chosen.value !== "" && dropped.value === null;

export function RulesView() {
  useKeys("Rules", [
    { keys: "j", also: ["ArrowDown"], does: "next rule", act: () => step(1) },
    { keys: "k", also: ["ArrowUp"], does: "previous rule", act: () => step(-1) },
    { keys: "l", also: ["ArrowRight"], does: "next part of the rule", act: () => turn(1), when: isOpen },
    { keys: "h", also: ["ArrowLeft"], does: "previous part of the rule", act: () => turn(-1), when: isOpen },
    { keys: "Escape", act: closeRule, when: isOpen },
    { keys: "/", does: "find a rule", act: () => document.getElementById(FIND)?.focus() },
    {
      keys: "u",
      does: "choose a module to deploy",
      act: () => document.querySelector<HTMLInputElement>("input[type=file]")?.click(),
    },
  ]);
  const module = dropped.value;
  const open = module !== null || chosen.value !== "";
  return (
    <div class={`split ${open ? "split-open" : ""} ${module === null ? "" : "split-deploy"}`}>
      <List />
      {module !== null ? (
        <Deploy key={module.number} from={module} />
      ) : (
        chosen.value !== "" && <One key={chosen.value} name={chosen.value} />
      )}
    </div>
  );
}
