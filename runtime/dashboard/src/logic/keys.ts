// Keys and sequences of keys: which are known, what each does, and which one a press means.

/** One key, or two in a row with a space between: `?`, `g o`, `Enter`, `Alt+1`. */
export interface Binding {
  keys: string;
  /** Other keys that do the same. */
  also?: readonly string[];
  /** What it does, for the help; without it the help leaves it out. */
  does?: string;
  act: () => void;
  /** Whether it means anything now. */
  when?: () => boolean;
}

/** The keys of one part of the page. */
export interface Group {
  name: string;
  bindings: readonly Binding[];
}

/** How long the second key of a sequence may take, in milliseconds. */
export const SEQUENCE = 1_500;

export type Press = "pending" | "unknown" | Binding;

export class Keys {
  private groups: Group[] = [];
  private first = "";
  private at = 0;

  /** Adds a group; the answer takes it out again. Among equal keys the latest wins. */
  add(group: Group): () => void {
    this.groups = [...this.groups, group];
    return () => {
      this.groups = this.groups.filter((other) => other !== group);
    };
  }

  /** The groups, the first added first. */
  all(): readonly Group[] {
    return this.groups;
  }

  /** The first key of a sequence that waits for its second; empty when none does. */
  pending(now: number): string {
    return now - this.at <= SEQUENCE ? this.first : "";
  }

  /** What a press means. */
  press(key: string, now: number): Press {
    const before = this.pending(now);
    this.first = "";
    if (before !== "") {
      const second = this.find(`${before} ${key}`);
      if (second !== undefined) return second;
    }
    const whole = this.find(key);
    if (whole !== undefined) return whole;
    if (this.some((keys) => keys.startsWith(`${key} `))) {
      this.first = key;
      this.at = now;
      return "pending";
    }
    return "unknown";
  }

  private find(wanted: string): Binding | undefined {
    for (const { bindings } of [...this.groups].reverse()) {
      for (const binding of bindings) {
        if (binding.keys !== wanted && !binding.also?.includes(wanted)) continue;
        if (binding.when === undefined || binding.when()) return binding;
      }
    }
    return undefined;
  }

  private some(test: (keys: string) => boolean): boolean {
    return this.groups.some(({ bindings }) =>
      bindings.some(({ keys, also }) => test(keys) || also?.some(test) === true),
    );
  }
}

const FACES: Readonly<Record<string, string>> = {
  ArrowUp: "↑",
  ArrowDown: "↓",
  ArrowLeft: "←",
  ArrowRight: "→",
  " ": "Space",
  Escape: "Esc",
  "-": "−",
};

/** A key as it is shown. */
export function face(key: string): string {
  return FACES[key] ?? key;
}
