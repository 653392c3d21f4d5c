// Numbers, sizes and times in few characters.

const STEPS: readonly [number, string][] = [
  [1e12, "T"],
  [1e9, "G"],
  [1e6, "M"],
  [1e3, "k"],
];

function trimmed(text: string): string {
  return text.includes(".") && !text.includes("e") ? text.replace(/\.?0+$/u, "") : text;
}

/** A number in at most seven characters or so: `412`, `0.0421`, `12.8k`, `-3.4M`, `1.2e-7`. */
export function compact(value: number | null | undefined): string {
  if (typeof value !== "number") return "–";
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  const size = Math.abs(value);
  const sign = value < 0 && size > 0 ? "−" : "";
  if (size === 0) return "0";
  if (size < 1e-3) return sign + size.toExponential(1).replace("e-", "e−");
  if (size < 1e-2) return sign + trimmed(size.toPrecision(3));
  // 9999.5 and more would round to five digits.
  if (size < 9999.5) return sign + (Number.isInteger(size) ? String(size) : trimmed(size.toPrecision(4)));
  if (size >= 999.5e12) return sign + size.toExponential(1).replace("e+", "e");
  for (const [step, letter] of STEPS) {
    // 999,500 is 1M and not 1000k.
    if (size >= step * 0.9995) return `${sign}${trimmed((size / step).toPrecision(3))}${letter}`;
  }
  return sign + String(Math.round(size));
}

/** A number in three digits, for a cell: `412`, `0.042`, `4.2k`, `−12.3k`. */
export function brief(value: number | null): string {
  if (value === null) return "–";
  const size = Math.abs(value);
  if (!Number.isFinite(value) || size < 1e-3 || size >= 9999.5) return compact(value);
  const sign = value < 0 ? "−" : "";
  return sign + (size < 999.5 ? trimmed(size.toPrecision(3)) : `${trimmed((size / 1e3).toPrecision(2))}k`);
}

/** A whole number with thin groups: `1 204 331`. */
export function grouped(value: number): string {
  if (!Number.isFinite(value)) return "–";
  const digits = String(Math.round(Math.abs(value)));
  return (value < 0 ? "−" : "") + digits.replace(/\B(?=(\d{3})+$)/gu, "\u202f");
}

/** A rate: whole above ten, one place below. */
export function rate(value: number): string {
  if (!Number.isFinite(value)) return "–";
  if (value >= 1e6) return compact(value);
  return value < 10 ? trimmed(value.toFixed(1)) : grouped(value);
}

/** Bytes in binary steps: `912 B`, `1.5 MiB`. */
export function bytes(value: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  let size = value;
  while (size >= 1023.5 && unit < units.length - 1) {
    size /= 1024;
    unit++;
  }
  return `${size < 10 && unit > 0 ? trimmed(size.toFixed(1)) : Math.round(size)} ${units[unit]}`;
}

/** Nanoseconds: `84 ns`, `1.2 µs`, `3.4 ms`. */
export function nanoseconds(value: number | null): string {
  if (value === null || !Number.isFinite(value)) return "–";
  if (value < 999.5) return `${Math.round(value)} ns`;
  if (value < 999.5e3) return `${trimmed((value / 1e3).toPrecision(3))} µs`;
  return `${trimmed((value / 1e6).toPrecision(3))} ms`;
}

/** Milliseconds: `84 µs`, `1.2 ms`, `3.4 s`. */
export function milliseconds(value: number | null | undefined): string {
  if (typeof value !== "number" || !Number.isFinite(value)) return "–";
  return value < 999.5 ? nanoseconds(value * 1e6) : `${trimmed((value / 1e3).toPrecision(3))} s`;
}

/** A share: `< 0.1 %`, `0.4 %`, `38 %`, `180 %`. */
export function percent(value: number): string {
  if (!Number.isFinite(value)) return "–";
  const size = value * 100;
  if (size > 0 && size < 0.05) return "< 0.1 %";
  return `${size < 9.95 ? trimmed(size.toFixed(1)) : Math.round(size)} %`;
}

/** A length of time in seconds: `0.4 s`, `59 s`, `4 m 10 s`, `3 h 2 m`, `12 d 4 h`. */
export function span(seconds: number): string {
  if (!Number.isFinite(seconds)) return "–";
  const size = Math.max(0, seconds);
  if (size < 9.95) return `${trimmed(size.toFixed(1))} s`;
  const whole = Math.round(size);
  if (whole < 60) return `${whole} s`;
  const parts = (big: number, letter: string, small: number, rest: string) => {
    const lesser = Math.floor((whole % big) / small);
    return `${Math.floor(whole / big)} ${letter}${lesser > 0 ? ` ${lesser} ${rest}` : ""}`;
  };
  if (whole < 3600) return parts(60, "m", 1, "s");
  if (whole < 86_400) return parts(3600, "h", 60, "m");
  return parts(86_400, "d", 3600, "h");
}

/** The time of day of a moment, `02:51:07`; empty when there is none. */
export function timeOfDay(at: number, utc = false): string {
  if (!Number.isFinite(at)) return "";
  const date = new Date(at);
  const two = (n: number) => String(n).padStart(2, "0");
  return utc
    ? `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}:${two(date.getUTCSeconds())}`
    : `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}
