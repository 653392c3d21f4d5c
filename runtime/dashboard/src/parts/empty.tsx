// What stands where streams would be: nothing yet, nothing that matches, or no connection.

import { again } from "../live.ts";
import { grouped, span } from "../logic/format.ts";
import { link, look, overview, query, settled, tick } from "../page.ts";

export function Empty() {
  const now = overview.value;
  if (link.value.state === "lost" && (!settled.value || now === null)) {
    return (
      <div class="empty">
        <h3>The server is out of reach</h3>
        <p>
          Nothing has been received yet. Is Tidegate running at <code>{location.host}</code>? This page keeps
          trying.
        </p>
      </div>
    );
  }
  if (!settled.value || now === null)
    return (
      <div class="empty">
        <p class="quiet">Waiting for the first snapshot…</p>
      </div>
    );
  if (query.value !== "" && now.index_size > 0) {
    return (
      <div class="empty">
        <h3>No stream matches this query</h3>
        <p>The index holds {grouped(now.index_size)} streams.</p>
        <p>
          <button type="button" class="primary" onClick={() => look("")}>
            Show them all
          </button>
        </p>
      </div>
    );
  }
  const riemann =
    now.inputs.find((input) => /tcp/iu.test(input.kind) || /tcp/iu.test(input.name))?.address ??
    "127.0.0.1:5555";
  const body = '{"host":"web-1","service":"api latency","state":"ok","metric":42,"ttl":60}';
  return (
    <div class="empty">
      <h3>No events yet</h3>
      <p>Tidegate is up and listening. Send the first event from a shell:</p>
      <pre tabIndex={0}>
        <code>{`curl -H 'content-type: application/json' -d '${body}' ${location.origin}/api/v1/events`}</code>
      </pre>
      <p>
        or point any Riemann client at <code>{riemann}</code>. It appears here at once.
      </p>
    </div>
  );
}

export function Lost() {
  const now = tick.value;
  const at = link.value;
  if (at.state !== "lost") return null;
  const wait = Math.max(0, Math.ceil((at.next - now) / 1000));
  return (
    <div class="lost">
      <span>
        <strong>No connection for {span((now - at.since) / 1000)}:</strong> {at.reason}.
        {overview.value !== null && " What you see is the last known state."}
      </span>
      <span class="lost-next">{wait > 0 ? `Next attempt in ${wait} s` : "Trying…"}</span>
      <button type="button" onClick={again}>
        Try now
      </button>
    </div>
  );
}
