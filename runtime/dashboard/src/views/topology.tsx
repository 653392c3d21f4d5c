// The node itself: what goes through its shards, inputs and outputs, what that costs, and what waits.

import type { ComponentChildren } from "preact";
import type { Input, Output, Overview, Shard } from "../contract.ts";
import { bytes, compact, grouped, milliseconds, nanoseconds, percent, rate } from "../logic/format.ts";
import { clean } from "../logic/names.ts";
import type { State } from "../logic/state.ts";
import { overview } from "../page.ts";
import { Glyph } from "../parts/glyph.tsx";

interface Column<T> {
  head: string;
  title?: string;
  /** What stands in the cell. */
  of: (row: T) => ComponentChildren;
  /** A number that is worth a look. */
  bad?: (row: T) => boolean;
}

function Table<T>(props: {
  name: string;
  what: string;
  columns: readonly Column<T>[];
  rows: readonly T[];
  head: (row: T) => { name: string; state: State; word: string; title: string };
}) {
  return (
    <table class="node-table">
      <caption class="hidden">{props.name}</caption>
      <thead>
        <tr>
          <th scope="col">{props.what}</th>
          {props.columns.map(({ head, title }) => (
            <th key={head} scope="col" class="number" title={title}>
              {head}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {props.rows.map((row) => {
          const { name, state, word, title } = props.head(row);
          return (
            <tr key={name}>
              <th scope="row" title={title}>
                <span class={`status ink-${state}`}>
                  <Glyph state={state} />
                  <span class="hidden">{word}</span>
                </span>{" "}
                <bdi>{name}</bdi>
              </th>
              {props.columns.map(({ head, of, bad }) => (
                <td key={head} class={`number ${bad?.(row) ? "ink-critical" : ""}`}>
                  {of(row)}
                </td>
              ))}
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}

const dash = (value: number, text: (value: number) => string) => (value > 0 ? text(value) : "–");

const SHARDS: readonly Column<Shard>[] = [
  { head: "events/s", of: (shard) => rate(shard.events_per_second) },
  { head: "per event", title: "Index and rules", of: (shard) => nanoseconds(shard.ns_per_event) },
  {
    head: "busy",
    title: "Share of its time",
    of: (shard) => percent(shard.busy),
    bad: ({ busy }) => busy > 0.9,
  },
  { head: "queue", title: "Batches that wait for it", of: (shard) => compact(shard.queued) },
  { head: "streams", of: (shard) => compact(shard.streams) },
  {
    head: "refused",
    title: "Events of streams that found no room in the index",
    of: (shard) => dash(shard.refused, compact),
    bad: ({ refused }) => refused > 0,
  },
  { head: "rule memory", of: (shard) => bytes(shard.rule_memory) },
  {
    head: "faults",
    of: (shard) => dash(shard.rule_faults, compact),
    bad: ({ rule_faults }) => rule_faults > 0,
  },
];

const INPUTS: readonly Column<Input>[] = [
  { head: "events/s", of: (input) => rate(input.per_second) },
  { head: "messages/s", of: (input) => dash(input.messages_per_second, rate) },
  { head: "bytes/s", of: (input) => dash(input.bytes_per_second, bytes) },
  { head: "p50", title: "From decoding to the answer", of: ({ latency_ms: ms }) => milliseconds(ms?.p50) },
  { head: "p99", title: "From decoding to the answer", of: ({ latency_ms: ms }) => milliseconds(ms?.p99) },
  { head: "connections", of: (input) => dash(input.connections, compact) },
  {
    head: "refused",
    title: "Events rejected or shed",
    of: (input) => dash(input.rejected + input.shed, compact),
    bad: ({ rejected, shed }) => rejected + shed > 0,
  },
];

const OUTPUTS: readonly Column<Output>[] = [
  { head: "events/s", title: "Delivered", of: (output) => rate(output.per_second) },
  { head: "queue", title: "Events that wait", of: (output) => compact(output.queued) },
  {
    head: "of",
    title: "Events that may wait",
    of: (output) => dash(output.capacity, compact),
  },
  {
    head: "lost",
    title: "Events dropped or given up on",
    of: (output) => dash(output.dropped + output.failed, compact),
    bad: ({ dropped, failed }) => dropped + failed > 0,
  },
];

/** Above these shares of its room a queue is worth a look. */
const fullness = (used: number): State => (used > 0.75 ? "critical" : used > 0.5 ? "warning" : "ok");

function Summary({ now }: { now: Overview }) {
  const { waiting, in_flight, in_flight_limit } = now.door;
  const state = fullness(in_flight / in_flight_limit);
  return (
    <span class="counts">
      <span class={state === "ok" ? "" : `ink-${state}`}>
        {bytes(in_flight)} of {bytes(in_flight_limit)} on their way
      </span>
      , {grouped(waiting)} waiting at the door, {percent(now.process.cpu)} of a core
      {now.process.memory !== null && <>, {bytes(now.process.memory)} of memory</>}
    </span>
  );
}

export function Topology() {
  const now = overview.value;
  return (
    <section class="panel node-panel" aria-labelledby="node-title">
      <div class="panel-head">
        <h2 id="node-title">Node</h2>
        {now === null ? <span class="counts" /> : <Summary now={now} />}
      </div>
      {now === null ? (
        <p class="quiet pad">Waiting for the node…</p>
      ) : (
        <div class="table-box" tabIndex={0} role="region" aria-label="Shards, inputs and outputs">
          <Table
            name="Shards"
            what="shard"
            columns={SHARDS}
            rows={now.shards}
            head={({ number, busy }) => {
              const state: State = busy > 0.9 ? "warning" : "ok";
              return { name: String(number), state, word: state, title: "" };
            }}
          />
          <Table
            name="Inputs"
            what="input"
            columns={INPUTS}
            rows={now.inputs}
            head={({ name, kind, address, received, rejected, shed }) => {
              const state: State = rejected + shed > 0 ? "warning" : received > 0 ? "ok" : "other";
              return { name: clean(name), state, word: state, title: clean(`${kind}, ${address}`) };
            }}
          />
          <Table
            name="Outputs"
            what="output"
            columns={OUTPUTS}
            rows={now.outputs}
            head={({ name, kind, status, queued, capacity, last_error }) => {
              const full = capacity > 0 ? fullness(queued / capacity) : "ok";
              const state: State = status === "failing" ? "critical" : status === "idle" ? "other" : full;
              return { name: clean(name), state, word: status, title: clean(last_error ?? kind, 400) };
            }}
          />
        </div>
      )}
    </section>
  );
}
