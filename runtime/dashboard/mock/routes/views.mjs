// Saved views, kept as long as the mock runs.

const MOST = 200;
const LARGEST = 64 << 10;

const views = new Map(
  [
    [
      "What needs a look",
      { address: "#/grid?q=state+%3D+%22critical%22+or+state+%3D+%22warning%22&sort=worst", workspace: 1 },
    ],
    ["Web tier by host", { address: "#/grid?q=host+%3D%7E+%22web%25%22", workspace: 2 }],
    ["Latency as it comes", { address: "#/stream?q=service+%3D%7E+%22api+latency%25%22", workspace: 3 }],
  ].map(([name, view]) => [name, { name, view, by: "mira", at: "2026-01-04T08:12:00.000Z" }]),
);

export const routes = [
  ["GET", "views", ({ json }) => json(200, { views: [...views.values()] })],
  [
    "GET",
    "views/:name",
    ({ params, json, refuse }) =>
      views.has(params.name)
        ? json(200, views.get(params.name))
        : refuse(404, `no view is called ${params.name}`),
  ],
  [
    "PUT",
    "views/:name",
    ({ params, body, bytes, by, json, refuse }) => {
      if (bytes.length > LARGEST) {
        refuse(413, `a view of up to ${LARGEST} bytes was expected, found ${bytes.length}`);
        return;
      }
      if (views.size >= MOST && !views.has(params.name)) {
        refuse(409, `${MOST} views are kept already: delete one first`);
        return;
      }
      const view = { name: params.name, view: body(), by: by ?? "", at: new Date().toISOString() };
      views.set(params.name, view);
      json(200, view);
    },
  ],
  [
    "DELETE",
    "views/:name",
    ({ params, response, refuse }) => {
      if (!views.delete(params.name)) {
        refuse(404, `no view is called ${params.name}`);
        return;
      }
      response.writeHead(204).end();
    },
  ],
];
