// What the address says, so that everything on the screen can be shared: `#/grid?q=…&sort=worst`.

/** The views, in the order of the navigation. */
export const VIEWS = [
  "overview",
  "grid",
  "stream",
  "alerts",
  "rules",
  "backtest",
  "topology",
  "query",
] as const;

export type ViewName = (typeof VIEWS)[number];

export interface Address {
  view: ViewName;
  params: Readonly<Record<string, string>>;
}

/** The longest value that is taken from an address. */
export const LONGEST = 8_192;

/** What goes along to every view. */
const EVERYWHERE = ["theme", "kiosk", "from", "to"];

/** Views that look at the same streams, so that the query goes along. */
const QUERIED: readonly ViewName[] = ["grid", "stream", "query"];

const isView = (name: string): name is ViewName => (VIEWS as readonly string[]).includes(name);

/** The address in the part behind `#`. What makes no sense is as usual. */
export function read(hash: string): Address {
  const [path = "", search = ""] = hash.replace(/^#?\/?/u, "").split(/\?(.*)/su);
  const params: Record<string, string> = Object.create(null);
  for (const [name, value] of new URLSearchParams(search)) params[name] = value.slice(0, LONGEST);
  return { view: isView(path) ? path : "overview", params };
}

/** The part of the address behind and with `#`. */
export function written({ view, params }: Address): string {
  const search = new URLSearchParams(params).toString();
  return `#/${view}${search === "" ? "" : `?${search}`}`;
}

/** The same address with some values changed; null takes one out. */
export function changed(address: Address, changes: Readonly<Record<string, string | null>>): Address {
  const params: Record<string, string> = Object.assign(Object.create(null), address.params);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null) delete params[name];
    else params[name] = value.slice(0, LONGEST);
  }
  return { view: address.view, params };
}

/** The address of another view, with what goes along. */
export function moved(
  address: Address,
  view: ViewName,
  changes: Readonly<Record<string, string | null>> = {},
): Address {
  const along = QUERIED.includes(address.view) && QUERIED.includes(view) ? [...EVERYWHERE, "q"] : EVERYWHERE;
  const kept = Object.entries(address.params).filter(([name]) => along.includes(name));
  return changed({ view, params: Object.fromEntries(kept) }, changes);
}

/** A text as the query language writes it. */
export function quoted(text: string): string {
  const escapes: Record<string, string> = { '"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t" };
  return `"${text.replace(/["\\\n\r\t]/gu, (letter) => escapes[letter] ?? letter)}"`;
}

/** A query for events with this value in a field. */
export function equals(field: string, value: string | null): string {
  return `${field} = ${value === null ? "nil" : quoted(value)}`;
}
