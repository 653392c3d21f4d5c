// What a person does about alerts: acknowledge, take that back, resolve, silence, end a silence.

import { by, Failed, send } from "../api.ts";
import type { Alert } from "../contract.ts";
import { equals } from "../logic/address.ts";
import { clean, shown } from "../logic/names.ts";
import { question } from "../parts/dialog.tsx";
import { notify } from "../parts/notice.tsx";
import type { Silence } from "./contract.ts";

const LONGEST_NOTE = 500;

const pathOf = (alert: Alert, what: string): string => `alerts/${encodeURIComponent(alert.id)}/${what}`;

/** Some alerts in a few words. */
function named(alerts: readonly Alert[]): string {
  const [first] = alerts;
  if (first === undefined) return "nothing";
  return alerts.length === 1 ? `${shown(first.service)} on ${shown(first.host)}` : `${alerts.length} alerts`;
}

/** Does something to each, and says how many it was done to; what the server refuses is told. */
async function each(
  alerts: readonly Alert[],
  done: string,
  act: (alert: Alert) => Promise<unknown>,
): Promise<void> {
  const outcomes = await Promise.allSettled(alerts.map(act));
  const refused = outcomes.find((outcome) => outcome.status === "rejected");
  const good = outcomes.filter((outcome) => outcome.status === "fulfilled").length;
  if (good > 0)
    notify(good === alerts.length ? `${named(alerts)}: ${done}` : `${good} of ${alerts.length}: ${done}`);
  if (refused !== undefined) throw refused.reason;
}

const told = (error: unknown): void => notify(error instanceof Failed ? error.message : String(error), true);

const body = (note: string) => ({ by: by.value, note: note.trim() });

/** Acknowledges at once, when we know who asks and no note is wanted; else asks first. */
export function acknowledge(alerts: readonly Alert[], noted: boolean, after: () => void): void {
  const some = alerts.filter(({ status }) => status === "firing" || status === "silenced");
  if (some.length === 0) {
    notify("there is nothing to acknowledge here");
    return;
  }
  const run = (note: string) =>
    each(some, "acknowledged", (alert) => send("POST", pathOf(alert, "acknowledge"), body(note)));
  if (by.value !== "" && !noted) {
    run("").then(after, (error) => {
      told(error);
      after();
    });
    return;
  }
  question({
    title: `Acknowledge ${named(some)}`,
    text: "Somebody looks after it: nothing more is escalated.",
    fields: [{ name: "note", label: "note", most: LONGEST_NOTE }],
    action: "acknowledge",
    signed: true,
    async act({ note = "" }) {
      await run(note);
      after();
    },
  });
}

export function unacknowledge(alerts: readonly Alert[], after: () => void): void {
  const some = alerts.filter(({ acknowledged }) => acknowledged !== null);
  if (some.length === 0) {
    notify("nobody has acknowledged this");
    return;
  }
  each(some, "no longer acknowledged", (alert) => send("DELETE", pathOf(alert, "acknowledge")))
    .catch(told)
    .finally(after);
}

export function resolve(alerts: readonly Alert[], after: () => void): void {
  const some = alerts.filter(({ status }) => status !== "resolved");
  if (some.length === 0) {
    notify("this is resolved already");
    return;
  }
  question({
    title: `Resolve ${named(some)}?`,
    text: "It is closed by hand. It fires again when its rule says so again.",
    fields: [{ name: "note", label: "why", most: LONGEST_NOTE }],
    action: "resolve",
    signed: true,
    async act({ note = "" }) {
      await each(some, "resolved", (alert) => send("POST", pathOf(alert, "resolve"), body(note)));
      after();
    },
  });
}

const LENGTHS = ["30m", "2h", "8h", "1d", "7d"].map((value) => ({ label: value, value }));

/** Queries that a silence of these alerts may begin with. */
function scopes(alerts: readonly Alert[]): { label: string; value: string }[] {
  const [first] = alerts;
  if (first === undefined) return [];
  const streams = alerts.map(
    (alert) => `${equals("host", alert.host)} and ${equals("service", alert.service)}`,
  );
  if (alerts.length > 1)
    return [{ label: "these streams", value: streams.map((one) => `(${one})`).join(" or ") }];
  return [
    { label: "this stream", value: streams[0] ?? "" },
    { label: `all of ${shown(first.host).slice(0, 40)}`, value: equals("host", first.host) },
    { label: `${shown(first.service).slice(0, 40)} everywhere`, value: equals("service", first.service) },
    { label: `what ${clean(first.rule, 40)} says`, value: equals("alert.rule", first.rule) },
  ];
}

/** Asks what to silence, for how long and why. */
export function silence(alerts: readonly Alert[], after: () => void): void {
  const quick = scopes(alerts);
  question({
    title: alerts.length === 0 ? "Silence" : `Silence ${named(alerts)}`,
    text: "Alerts that match stay in the log, and nobody is told until the silence ends.",
    fields: [
      {
        name: "query",
        label: "alerts that match",
        value: quick[0]?.value ?? "",
        needed: true,
        long: true,
        quick,
      },
      {
        name: "for",
        label: "for",
        value: "2h",
        needed: true,
        quick: LENGTHS,
        hint: "like 90m, 2h or 3d",
        most: 20,
      },
      { name: "reason", label: "why", needed: true, most: LONGEST_NOTE },
    ],
    action: "silence",
    signed: true,
    async act({ query = "", for: length = "", reason = "" }) {
      await send<Silence>("POST", "silences", {
        query: query.trim(),
        for: length.trim(),
        reason: reason.trim(),
        by: by.value,
      });
      notify(`silenced for ${length.trim()}`);
      after();
    },
  });
}

export function endSilence(silence: Silence, after: () => void): void {
  question({
    title: "End this silence now?",
    text: `${clean(silence.reason)} (${clean(silence.query)}). Alerts that match are told again at once.`,
    action: "end it",
    signed: true,
    async act() {
      await send("DELETE", `silences/${encodeURIComponent(silence.id)}`);
      notify("the silence is over");
      after();
    },
  });
}
