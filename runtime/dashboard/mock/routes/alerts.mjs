// Alerts and silences.

import { alertsIn } from "../alerts.mjs";
import { compile } from "../query.mjs";

const UNITS = { s: 1, m: 60, h: 3_600, d: 86_400 };

const known = (handle) => (context) => {
  const alerts = alertsIn(context.world);
  const alert = alerts.find(context.params.id);
  if (alert === undefined) context.refuse(404, `there is no alert ${context.params.id}`);
  else handle({ ...context, alerts, alert });
};

function silence({ world, body, json, refuse }) {
  const { query, reason, by, for: length } = body();
  const [, count, unit] = /^(\d+)([smhd])$/u.exec(length ?? "") ?? [];
  if (count === undefined)
    return refuse(400, `\`for\`: a span like 90s, 5m or 2h was expected, found \`${length}\``);
  if (!reason) return refuse(400, "`reason`: why it is silenced was expected, found nothing");
  const made = alertsIn(world).silence(query, reason, by, Number(count) * UNITS[unit] * 1000);
  const { matches, ...shown } = made;
  return json(201, { ...shown, expired: false });
}

export const routes = [
  [
    "GET",
    "alerts",
    ({ world, query, json }) => {
      const q = query.get("q");
      const matches = q === null ? () => true : compile(q);
      json(
        200,
        alertsIn(world).list(query.get("status") ?? "open", matches, Number(query.get("limit") ?? 200)),
      );
    },
  ],
  ["GET", "alerts/:id", known(({ alerts, alert, json }) => json(200, alerts.full(alert)))],
  [
    "POST",
    "alerts/:id/acknowledge",
    known(({ alerts, alert, body, json }) => {
      alerts.acknowledge(alert, body().by, body().note);
      json(200, alerts.full(alert));
    }),
  ],
  [
    "DELETE",
    "alerts/:id/acknowledge",
    known(({ alerts, alert, by, json }) => {
      alert.acknowledged = null;
      if (alert.status === "acknowledged") alert.status = "firing";
      alerts.note(alert, "no longer acknowledged", by);
      json(200, alerts.full(alert));
    }),
  ],
  [
    "POST",
    "alerts/:id/resolve",
    known(({ alerts, alert, body, json }) => {
      alerts.close(alert, body().by, body().note);
      json(200, alerts.full(alert));
    }),
  ],
  [
    "GET",
    "silences",
    ({ world, json }) => {
      const alerts = alertsIn(world);
      json(200, {
        silences: alerts.silences.map(({ matches, ...one }) => ({ ...one, expired: alerts.over(one) })),
      });
    },
  ],
  ["POST", "silences", silence],
  [
    "DELETE",
    "silences/:id",
    ({ world, params, json }) => {
      const alerts = alertsIn(world);
      const found = alerts.silences.find(({ id }) => id === params.id);
      if (found !== undefined) found.until = new Date().toISOString();
      for (const alert of alerts.all.values()) {
        if (alert.silence !== params.id) continue;
        alert.silence = null;
        if (alert.status === "silenced")
          alert.status = alert.acknowledged === null ? "firing" : "acknowledged";
      }
      json(200, { id: params.id });
    },
  ],
];
