// How an input or an output does, in a word, a state and a figure.

import type { Input, Output } from "../contract.ts";
import { compact, rate } from "./format.ts";
import type { State } from "./state.ts";

export interface Health {
  name: string;
  state: State;
  /** How it is, in words. */
  word: string;
  /** Events per second. */
  per_second: string;
  /** What waits or was lost; empty when nothing did. */
  note: string;
}

const perSecond = (value: number) => (value >= 10_000 ? compact(Math.round(value)) : rate(value));

/** For so long what was lost makes an input or an output look bad, in milliseconds. */
export const RECENT = 5 * 60_000;

/** When losses were last seen to grow, of each input and output: what was lost before we looked may be long ago. */
export class Losses {
  private readonly known = new Map<string, { lost: number; grew: number }>();

  /** Whether it has lost more within the last minutes. */
  recent(name: string, lost: number, now: number): boolean {
    const before = this.known.get(name);
    const grew =
      before === undefined || lost < before.lost
        ? Number.NEGATIVE_INFINITY
        : lost > before.lost
          ? now
          : before.grew;
    this.known.set(name, { lost, grew });
    return now - grew < RECENT;
  }
}

export function ofInput(input: Input, losses: Losses, now: number): Health {
  const lost = input.rejected + input.shed;
  const losing = losses.recent(`input ${input.name}`, lost, now);
  const idle = input.received === 0;
  return {
    name: input.name,
    state: losing ? "warning" : idle ? "none" : "ok",
    word: idle ? "nothing yet" : input.per_second > 0 ? "receiving" : "quiet",
    per_second: perSecond(input.per_second),
    note: lost > 0 ? `${compact(lost)} refused` : "",
  };
}

/** Above this share of its room a queue is worth a look. */
const FULL = 0.5;

export function ofOutput(output: Output, losses: Losses, now: number): Health {
  const lost = output.dropped + output.failed;
  const losing = losses.recent(`output ${output.name}`, lost, now);
  const full = output.capacity > 0 && output.queued / output.capacity > FULL;
  const state: State =
    output.status === "failing"
      ? "critical"
      : output.status === "connecting" || full || losing
        ? "warning"
        : output.status === "idle"
          ? "none"
          : "ok";
  const notes = [
    output.queued > 0 ? `${compact(output.queued)} wait` : "",
    lost > 0 ? `${compact(lost)} lost` : "",
  ];
  return {
    name: output.name,
    state,
    word: output.status === "ok" ? "delivering" : output.status,
    per_second: perSecond(output.per_second),
    note: notes.filter((note) => note !== "").join(", "),
  };
}

const BADNESS: Readonly<Record<State, number>> = {
  critical: 0,
  warning: 1,
  unknown: 2,
  other: 3,
  expired: 4,
  ok: 5,
  none: 6,
};

/** Those in trouble first; among equals as they came. */
export function worstFirst(list: readonly Health[]): Health[] {
  return [...list].sort((a, b) => BADNESS[a.state] - BADNESS[b.state]);
}
