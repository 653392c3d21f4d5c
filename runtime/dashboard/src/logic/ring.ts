// Lists that forget: the last so many of something.

/** The latest items, newest first, each with a number that no other has. */
export class Latest<T> {
  items: { id: number; item: T }[] = [];
  /** All that ever came. */
  total = 0;

  constructor(readonly most: number) {}

  add(news: readonly T[]): void {
    if (news.length === 0) return;
    const first = this.total;
    this.total += news.length;
    const fresh = news.map((item, n) => ({ id: first + n, item })).slice(-this.most);
    this.items = [...fresh.reverse(), ...this.items].slice(0, this.most);
  }
}

/** Samples at equal distances, oldest first; NaN where there was none. */
export class Samples {
  readonly values: Float64Array;

  constructor(readonly length: number) {
    this.values = new Float64Array(length).fill(Number.NaN);
  }

  push(value: number): void {
    this.values.copyWithin(0, 1);
    this.values[this.length - 1] = value;
  }

  /** The largest sample; 0 when there is none. */
  max(): number {
    let most = 0;
    for (const value of this.values) if (value > most) most = value;
    return most;
  }

  /** The samples from the first there is, but at least the last `least`. */
  begun(least: number): Float64Array {
    const first = this.values.findIndex((value) => !Number.isNaN(value));
    const from = first < 0 ? this.length : first;
    return this.values.subarray(Math.max(0, Math.min(from, this.length - least)));
  }
}
