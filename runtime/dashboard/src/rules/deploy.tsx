// A module on its way to be a rule: what it says about itself, how it is to run, what the server thinks of that, and go.

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { go } from "../address.ts";
import { by, Failed, locked, send, sign } from "../api.ts";
import { give } from "../backtest/form.tsx";
import { about, asked, begun, beside, type How, usualName, type Wish } from "../logic/deployment.ts";
import { grouped, bytes as sized } from "../logic/format.ts";
import { clean, cleanText } from "../logic/names.ts";
import { overview } from "../page.ts";
import { notify } from "../parts/notice.tsx";
import { deploy } from "./change.ts";
import type { Deployed, Manifest } from "./contract.ts";
import { type Dropped, dropped } from "./dropped.ts";
import { Field, ParameterField } from "./fields.tsx";
import { Changes, Limits } from "./module.tsx";

/** After the last letter that was typed, the server is asked what it thinks. */
const PAUSE = 450;

/** What the node has by itself, and where an output goes that nobody directs. */
const LIVE = "live";

type Verdict =
  | { state: "asking" }
  | { state: "incomplete"; missing: string[] }
  | { state: "good"; deployed: Deployed }
  | { state: "bad"; message: string; field: string | null };

function verdictOf(error: unknown): Verdict {
  const message = error instanceof Failed ? error.message : String(error);
  return { state: "bad", message, field: about(message) };
}

const HOWS: readonly { how: How; label: string; text: string }[] = [
  { how: "replace", label: "Deploy", text: "takes over at once; put back by itself if it does badly" },
  { how: "canary", label: "Canary", text: "speaks for some of the keys, then for all if it does well" },
  {
    how: "shadow",
    label: "Shadow",
    text: "runs beside the rule; what it asks for is compared and held back",
  },
];

/** The whole way of one module. */
export function Deploy({ from }: { from: Dropped }) {
  const [name, setName] = useState<string | null>(null);
  const [manifest, setManifest] = useState<Manifest | null>(null);
  // Which rule the module was compared with.
  const [compared, setCompared] = useState("");
  const [refused, setRefused] = useState<string | null>(null);
  const [turn, setTurn] = useState(0);
  const away = () => {
    dropped.value = null;
  };
  useEffect(() => {
    const end = new AbortController();
    const wait = setTimeout(
      async () => {
        try {
          const inspect = (rule: string | null) =>
            send<Manifest>("POST", "modules/inspect", from.bytes, { query: { rule }, signal: end.signal });
          // Without a name it is compared with the rule that is called like the module.
          const found = await inspect(name);
          if (found === null) throw new Error("the server says nothing about the module");
          const usual = usualName(found.name);
          if (name === null) setName(usual);
          setManifest(found);
          setCompared(name ?? usual);
          setRefused(null);
        } catch (error) {
          if (!end.signal.aborted) setRefused(error instanceof Failed ? error.message : String(error));
        }
      },
      name === null ? 0 : PAUSE,
    );
    return () => {
      clearTimeout(wait);
      end.abort();
    };
  }, [from, name, turn, locked.value]);
  return (
    <section class="panel side deploy" aria-labelledby="deploy-title">
      <div class="panel-head">
        <h2 id="deploy-title">
          <bdi>
            {manifest === null ? clean(from.file) : `${clean(manifest.name)} ${clean(manifest.version)}`}
          </bdi>
        </h2>
        <span class="counts">
          {clean(from.file)}, {sized(from.bytes.length)}
        </span>
        <button type="button" class="icon" aria-label="Put this module away" onClick={away}>
          ×
        </button>
      </div>
      <div class="side-body">
        {refused !== null && manifest === null ? (
          <div class="refused" role="alert">
            <strong>{locked.value ? "Locked" : "This module cannot be a rule"}</strong>
            <pre tabIndex={0}>{cleanText(refused)}</pre>
          </div>
        ) : manifest === null || name === null ? (
          <p class="quiet">The server reads the module…</p>
        ) : (
          <Form
            key={from.number}
            from={from}
            manifest={manifest}
            name={name}
            rename={setName}
            known={compared === name}
            stale={() => setTurn(turn + 1)}
            away={away}
          />
        )}
      </div>
    </section>
  );
}

function Form(props: {
  from: Dropped;
  manifest: Manifest;
  name: string;
  rename: (name: string) => void;
  /** Whether what runs under that name is known yet. */
  known: boolean;
  /** Somebody else has changed the rule meanwhile. */
  stale: () => void;
  away: () => void;
}) {
  const { from, manifest, name } = props;
  const running = manifest.running;
  const [wish, setWish] = useState<Wish>(() => begun(manifest, name, LIVE));
  const [verdict, setVerdict] = useState<Verdict>({ state: "asking" });
  const [busy, setBusy] = useState(false);
  // Another name is another rule, with settings of its own; what somebody has said stays.
  const said = useRef<Partial<Wish>>({});
  const generation = running?.generation ?? 0;
  useEffect(() => {
    const anew = begun(manifest, name, LIVE);
    const { set, to, ...rest } = said.current;
    setWish({ ...anew, ...rest, set: { ...anew.set, ...set }, to: { ...anew.to, ...to } });
  }, [generation, manifest.module]);
  const change = (news: Partial<Wish>) => {
    said.current = { ...said.current, ...news };
    setWish((before) => ({ ...before, ...news }));
  };
  const set = (parameter: string, value: string) => {
    said.current = { ...said.current, set: { ...said.current.set, [parameter]: value } };
    setWish((before) => ({ ...before, set: { ...before.set, [parameter]: value } }));
  };
  const refuse = (error: unknown) => {
    setVerdict(verdictOf(error));
    if (error instanceof Failed && error.status === 412) props.stale();
  };
  // Beside nothing there is nothing to try.
  const how: How = running === null ? "replace" : wish.how;
  const query = asked({ ...wish, how }, manifest);
  const question = JSON.stringify([name, generation, query]);
  useEffect(() => {
    const missing = manifest.parameters
      .filter(({ name, required }) => required && (wish.set[name] ?? "") === "")
      .map(({ name }) => name);
    if (missing.length > 0) {
      setVerdict({ state: "incomplete", missing });
      return;
    }
    setVerdict({ state: "asking" });
    if (!props.known) return;
    const end = new AbortController();
    const wait = setTimeout(async () => {
      try {
        const asking = { ...query, dry_run: "true" };
        const found = await deploy(name, from.bytes, generation, asking, { signal: end.signal });
        setVerdict({ state: "good", deployed: found });
      } catch (error) {
        if (!end.signal.aborted) refuse(error);
      }
    }, PAUSE);
    return () => {
      clearTimeout(wait);
      end.abort();
    };
  }, [question, props.known, locked.value]);
  // The same wish sent twice, for a lost answer, is granted once.
  const key = useMemo(() => crypto.randomUUID?.() ?? String(Math.random()), [question]);
  const run = async () => {
    setBusy(true);
    try {
      const done = await deploy(name, from.bytes, generation, query, { key });
      const word =
        how === "replace" ? "runs" : how === "canary" ? "is tried as a canary" : "runs as a shadow";
      notify(
        `${clean(done.name)} ${clean(done.version)} ${word}: generation ${done.generation}, ${done.shards} ${done.shards === 1 ? "shard" : "shards"}, ${grouped(done.millis)} ms`,
      );
      props.away();
      go("rules", { rule: done.name });
    } catch (error) {
      refuse(error);
      setBusy(false);
    }
  };
  const tryFirst = () =>
    give(from.bytes, { set: wish.set, query: wish.query, per: wish.per }).then(
      ({ module }) => go("backtest", { module, against: running === null ? null : name }),
      (error: unknown) => setVerdict(verdictOf(error)),
    );
  const wrong = (field: string): string | null =>
    verdict.state === "bad" && verdict.field === field ? cleanText(beside(verdict.message)) : null;
  const known = [...new Set([LIVE, ...(overview.value?.outputs ?? []).map((output) => output.name)])];
  return (
    <form
      class="deploy-form"
      onSubmit={(event) => {
        event.preventDefault();
        void run();
      }}
    >
      {manifest.doc !== undefined && manifest.doc !== "" && <p class="lead">{cleanText(manifest.doc)}</p>}
      <Field
        id="name"
        label="rule"
        problem={wrong("name")}
        hint={
          running === null
            ? "a new rule"
            : `replaces generation ${running.generation}, version ${clean(running.version)}`
        }
      >
        <input
          id="name"
          value={name}
          maxLength={64}
          spellcheck={false}
          autocomplete="off"
          onInput={(event) => props.rename(event.currentTarget.value.trim())}
        />
      </Field>
      {running !== null && <Changes running={running} version={manifest.version} />}
      {manifest.parameters.length > 0 && (
        <fieldset>
          <legend>Parameters</legend>
          {manifest.parameters.map((parameter) => (
            <ParameterField
              key={parameter.name}
              parameter={parameter}
              value={wish.set[parameter.name] ?? ""}
              was={running?.set[parameter.name] ?? null}
              problem={wrong(`set.${parameter.name}`)}
              put={(value) => set(parameter.name, value)}
            />
          ))}
        </fieldset>
      )}
      <Outputs manifest={manifest} wish={wish} known={known} wrong={wrong} change={change} />
      <fieldset>
        <legend>Events</legend>
        <Field
          id="where"
          label="which"
          hint={`the module's own: ${clean(manifest.query)}`}
          problem={wrong("query")}
        >
          <textarea
            id="where"
            class="code"
            rows={1}
            value={wish.query}
            maxLength={8192}
            spellcheck={false}
            onInput={(event) => change({ query: event.currentTarget.value })}
          />
        </Field>
        <Field
          id="per"
          label="per"
          hint="stream, host, service, whole or attribute:NAME: what gets its own copy of the rule's state"
          problem={wrong("per")}
        >
          <input
            id="per"
            value={wish.per}
            list="widths"
            spellcheck={false}
            autocomplete="off"
            onInput={(event) => change({ per: event.currentTarget.value })}
          />
          <datalist id="widths">
            {["stream", "host", "service", "whole"].map((width) => (
              <option key={width} value={width} />
            ))}
          </datalist>
        </Field>
      </fieldset>
      <fieldset class="hows">
        <legend>How</legend>
        {HOWS.map(({ how: way, label, text }) => (
          <label key={way} class={`how ${how === way ? "how-on" : ""}`}>
            <input
              type="radio"
              name="how"
              value={way}
              checked={how === way}
              disabled={way !== "replace" && running === null}
              onChange={() => change({ how: way })}
            />
            <b>{label}</b>
            <span>{text}</span>
          </label>
        ))}
        {running === null && <p class="quiet">A new rule has nothing beside which it could be tried.</p>}
        <div class="pairs">
          {how === "canary" && (
            <Field id="percent" label="percent of keys" problem={wrong("canary")}>
              <input
                id="percent"
                type="number"
                min="0.1"
                max="100"
                step="any"
                value={wish.percent}
                onInput={(event) => change({ percent: event.currentTarget.value })}
              />
            </Field>
          )}
          <Field
            id="watch"
            label="watch"
            problem={wrong("watch")}
            hint={
              how === "replace"
                ? "taken back if it does badly meanwhile"
                : how === "canary"
                  ? "promoted after this if it does well"
                  : "not promoted by itself unless set"
            }
          >
            <input
              id="watch"
              value={wish.watch}
              placeholder={how === "shadow" ? "0" : "10m"}
              spellcheck={false}
              autocomplete="off"
              onInput={(event) => change({ watch: event.currentTarget.value })}
            />
          </Field>
          {how === "replace" && (
            <Field
              id="backfill"
              label="learn from the log"
              problem={wrong("backfill")}
              hint="so much of it first, like 2h"
            >
              <input
                id="backfill"
                value={wish.backfill}
                placeholder="no"
                spellcheck={false}
                autocomplete="off"
                onInput={(event) => change({ backfill: event.currentTarget.value })}
              />
            </Field>
          )}
        </div>
        {how === "replace" && running !== null && (
          <label class="check">
            <input
              type="checkbox"
              checked={wish.resetState}
              onChange={(event) => change({ resetState: event.currentTarget.checked })}
            />
            its keys begin anew and forget what they remember
          </label>
        )}
      </fieldset>
      <Limits manifest={manifest} />
      <div class="deploy-end">
        <Judgement verdict={verdict} />
        <label class="signed">
          <span>by</span>
          <input
            value={by.value}
            maxLength={100}
            placeholder="your name"
            aria-label="Your name, for the rule's history"
            autocomplete="off"
            onInput={(event) => sign(event.currentTarget.value)}
          />
        </label>
        <button type="button" class="tool" onClick={tryFirst} title="What it would have said about the past">
          backtest
        </button>
        <button type="submit" class="primary" disabled={busy || verdict.state !== "good"}>
          {busy
            ? "under way…"
            : how === "replace"
              ? "Deploy"
              : how === "canary"
                ? "Start canary"
                : "Start shadow"}
        </button>
      </div>
    </form>
  );
}

function Judgement({ verdict }: { verdict: Verdict }) {
  if (verdict.state === "asking") return <p class="verdict quiet">The server checks it…</p>;
  if (verdict.state === "incomplete")
    return <p class="verdict quiet">Still needed: {verdict.missing.map((name) => clean(name)).join(", ")}</p>;
  if (verdict.state === "bad")
    return (
      <p class="verdict ink-critical" role="alert">
        {cleanText(verdict.message)}
      </p>
    );
  const { generation, millis } = verdict.deployed;
  return (
    <p class="verdict ink-ok">
      Checked in {grouped(millis)} ms. It will be generation {generation}.
    </p>
  );
}

function Outputs(props: {
  manifest: Manifest;
  wish: Wish;
  known: readonly string[];
  wrong: (field: string) => string | null;
  change: (news: Partial<Wish>) => void;
}) {
  const { manifest, wish, known, wrong, change } = props;
  const [further, setFurther] = useState("");
  const declared = manifest.outputs.map((output) => output.name);
  const extra = Object.keys(wish.to).filter((name) => !declared.includes(name));
  if (declared.length === 0) return null;
  const put = (name: string, value: string | null) => {
    const to = { ...wish.to };
    if (value === null) delete to[name];
    else to[name] = value;
    change({ to });
  };
  const add = () => {
    const name = further.trim();
    if (name !== "" && !(name in wish.to)) put(name, LIVE);
    setFurther("");
  };
  const choice = (name: string) => {
    const value = wish.to[name] ?? "";
    const names = value === "" || known.includes(value) ? known : [value, ...known];
    return (
      <select id={`to-${name}`} value={value} onChange={(event) => put(name, event.currentTarget.value)}>
        {names.map((output) => (
          <option key={output} value={output}>
            {clean(output)}
          </option>
        ))}
      </select>
    );
  };
  return (
    <fieldset>
      <legend>Outputs</legend>
      {manifest.outputs.map(({ name, doc }) => (
        <Field
          key={name}
          id={`to-${name}`}
          label={clean(name)}
          hint={cleanText(doc)}
          problem={wrong(`to.${name}`)}
        >
          {choice(name)}
        </Field>
      ))}
      {extra.map((name) => (
        <Field key={name} id={`to-${name}`} label={clean(name)} problem={wrong(`to.${name}`)}>
          <span class="with-end">
            {choice(name)}
            <button
              type="button"
              class="icon"
              aria-label={`Leave out ${clean(name)}`}
              onClick={() => put(name, null)}
            >
              ×
            </button>
          </span>
        </Field>
      ))}
      {manifest.outputs.some(({ many }) => many) && (
        <Field id="further" label="a further name" hint="as the parameters name it">
          <span class="with-end">
            <input
              id="further"
              value={further}
              maxLength={64}
              spellcheck={false}
              autocomplete="off"
              onInput={(event) => setFurther(event.currentTarget.value)}
              onKeyDown={(event) => {
                if (event.key !== "Enter") return;
                event.preventDefault();
                add();
              }}
            />
            <button type="button" class="tool" onClick={add}>
              add
            </button>
          </span>
        </Field>
      )}
    </fieldset>
  );
}
