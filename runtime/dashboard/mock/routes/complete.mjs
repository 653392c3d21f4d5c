// What could stand at a place in a query.

const MOST = 50;
const FIELDS = {
  host: "who it is about",
  service: "what it is about",
  state: "ok, warning, critical, …",
  metric: "a number",
  description: "text for people",
  time: "seconds since 1970",
  ttl: "seconds for which it is valid",
};
const OPERATORS = {
  "=": "is the same",
  "!=": "is not the same",
  "=~": "fits a pattern, in which % is anything",
  "~=": "fits a regular expression",
  ">": "is greater",
  "<": "is less",
};

/** Values that events have now, the most frequent first, and how many have each. */
function values(world, field) {
  const counts = new Map();
  for (const event of world.index.values()) {
    const own = field === "tag" ? (event.tags ?? []) : [event[field]];
    for (const value of own) if (typeof value === "string") counts.set(value, (counts.get(value) ?? 0) + 1);
  }
  return [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
}

function complete(world, text) {
  const [, head, last] = /^(.*?)((?:"[^"]*|[\w.]+|[=!~<>]+)?)$/su.exec(text);
  const items = (list, kind) => list.map(([name, detail]) => ({ text: name, kind, detail }));
  const before = /(host|service|state|tagged)\s*(?:=~|~=|=|!=)?\s*$/u.exec(head);
  const value = /(?:=~|~=|=|!=|tagged)\s*$/u.test(head) ? (before?.[1] ?? "") : "";
  const wanted = last.replace(/^"/u, "").toLowerCase();
  let found;
  if (value !== "") {
    const field = value === "tagged" ? "tag" : value;
    found = values(world, field).map(([name, count]) => ({
      text: JSON.stringify(name),
      kind: field,
      detail: `${count} streams`,
    }));
  } else if (/(?:^|\(|and|or|not)\s*$/u.test(head)) {
    found = [
      ...items(Object.entries(FIELDS), "field"),
      ...items(
        [
          ["not", "the opposite"],
          ["tagged", "has a tag"],
        ],
        "word",
      ),
    ];
  } else if (/(?:host|service|state|metric|description|time|ttl)\s*$/u.test(head)) {
    found = items(Object.entries(OPERATORS), "operator");
  } else {
    found = items(
      [
        ["and", "both"],
        ["or", "at least one"],
      ],
      "word",
    );
  }
  found = found.filter((item) => item.text.toLowerCase().replace(/^"/u, "").startsWith(wanted));
  const from = Buffer.byteLength(head);
  return { from, to: from + Buffer.byteLength(last), items: found.slice(0, MOST) };
}

export const routes = [
  [
    "GET",
    "complete",
    ({ world, query, json }) => {
      const bytes = Buffer.from(query.get("q") ?? "");
      json(200, complete(world, bytes.subarray(0, Number(query.get("at") ?? bytes.length)).toString("utf8")));
    },
  ],
];
