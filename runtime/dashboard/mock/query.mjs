// The query language in small, for the mock: enough that a page can be tried without the real server.

const TOKEN =
  /[\s,]+|(?<string>"(?:[^"\\]|\\.)*")|(?<number>-?\d+(?:\.\d+)?(?:[eE]-?\d+)?)(?![\w.])|(?<op><=|>=|!=|=~|~=|=|<|>)|(?<paren>[()])|(?<name>[\p{L}_][^\s,^`'"#~@:/%()[\]{}=<>!]*)/uy;
const KEYWORDS = new Set(["and", "or", "not", "tagged", "true", "false", "nil", "null"]);

/** A query that cannot be understood. The span counts bytes. */
export class Refused extends Error {
  constructor(text, start, end, message, help) {
    super(message);
    const bytes = (n) => Buffer.byteLength(text.slice(0, n));
    this.span = [bytes(start), bytes(end)];
    this.help = help;
  }
}

function* tokens(text) {
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.length) {
    const start = TOKEN.lastIndex;
    const match = TOKEN.exec(text);
    if (match === null) {
      const quote = text[start] === '"';
      throw new Refused(
        text,
        start,
        quote ? text.length : start + 1,
        quote ? "this text has no closing quote" : `\`${text[start]}\` has no meaning here`,
        quote ? 'close it: "…"' : "a field, a value, `not` or `(` was expected",
      );
    }
    for (const kind of ["string", "number", "op", "paren", "name"]) {
      const value = match.groups[kind];
      if (value === undefined) continue;
      yield {
        kind: kind === "name" && KEYWORDS.has(value) ? "word" : kind,
        value,
        start,
        end: TOKEN.lastIndex,
      };
    }
  }
}

const LIKE = (pattern) =>
  new RegExp(
    `^${pattern
      .split("%")
      .map((part) => part.replace(/[\\^$.*+?()[\]{}|]/gu, "\\$&"))
      .join(".*")}$`,
    "u",
  );

/** Turns a query into a function from an event to yes or no. */
export function compile(text) {
  const all = [...tokens(text)];
  let at = 0;
  const peek = () => all[at];
  const refuse = (message, help) => {
    const token = peek();
    throw new Refused(text, token?.start ?? text.length, token?.end ?? text.length, message, help);
  };
  const next = (value) => (peek()?.value === value && peek().kind !== "string" ? all[at++] : undefined);

  function value() {
    const token = peek();
    if (token === undefined)
      refuse("the query ends too early", "a field, a number or a quoted text was expected");
    at++;
    if (token.kind === "string") {
      const string = JSON.parse(token.value);
      return () => string;
    }
    if (token.kind === "number") return () => Number(token.value);
    if (token.kind === "name") return (event) => event[token.value] ?? null;
    if (["true", "false"].includes(token.value)) return () => token.value === "true";
    if (["nil", "null"].includes(token.value)) return () => null;
    at--;
    return refuse(`\`${token.value}\` cannot stand here`, "a field, a number or a quoted text was expected");
  }

  function primary() {
    if (next("(")) {
      const inner = either();
      if (!next(")")) refuse("a `(` is not closed", "put a `)` here");
      return inner;
    }
    if (next("tagged")) {
      const tag = value();
      return (event) => (event.tags ?? []).includes(tag(event));
    }
    const left = value();
    if (peek()?.kind !== "op") return (event) => left(event) !== null && left(event) !== false;
    const op = all[at++].value;
    const right = value();
    const number = (test) => (event) => {
      const [a, b] = [left(event), right(event)];
      return typeof a === "number" && typeof b === "number" && test(a, b);
    };
    const string = (test) => (event) => typeof left(event) === "string" && test(left(event), right(event));
    return {
      "=": (event) => left(event) === right(event),
      "!=": (event) => left(event) !== right(event),
      "<": number((a, b) => a < b),
      ">": number((a, b) => a > b),
      "<=": number((a, b) => a <= b),
      ">=": number((a, b) => a >= b),
      "=~": string((a, b) => LIKE(b).test(a)),
      "~=": string((a, b) => new RegExp(b, "u").test(a)),
    }[op];
  }

  function negation() {
    if (!next("not")) return primary();
    const inner = negation();
    return (event) => !inner(event);
  }

  function both() {
    let left = negation();
    while (next("and")) {
      const [a, b] = [left, negation()];
      left = (event) => a(event) && b(event);
    }
    return left;
  }

  function either() {
    let left = both();
    while (next("or")) {
      const [a, b] = [left, both()];
      left = (event) => a(event) || b(event);
    }
    return left;
  }

  const whole = either();
  if (at < all.length) {
    const token = peek();
    const operator = ["AND", "OR", "NOT"].includes(token.value);
    refuse(
      `\`${token.value}\` was not expected here`,
      operator
        ? `keywords are lower case: \`${token.value.toLowerCase()}\``
        : "join two conditions with `and` or `or`",
    );
  }
  return whole;
}
