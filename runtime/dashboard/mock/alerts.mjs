// The alerts of the simulated node.

/** Open alerts, made of what is critical now. */
export function alertsOf(world) {
  const alerts = [];
  for (const event of world.index.values()) {
    if (event.state !== "critical" || event.host === null) continue;
    const key = `latency_state|${event.host}|${event.service}`;
    const old = [...key].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % 8_000, 7);
    const since = new Date(world.started - old * 1_000).toISOString();
    alerts.push({
      id: old.toString(16).padStart(6, "0"),
      key,
      output: "pager",
      rule: "latency_state",
      generation: 7,
      version: "1.4.0",
      host: event.host,
      service: event.service,
      state: event.state,
      metric: event.metric,
      description: event.description,
      status: "firing",
      since,
      until: null,
      duration_s: Math.round((Date.now() - Date.parse(since)) / 1000),
      last: event.time,
      events: 40,
      flapping: old % 5 === 0,
      acknowledged: null,
      silence: null,
      escalated: 0,
      notified: [],
      group: null,
      before: "ok",
      after: "critical",
    });
  }
  alerts.sort((one, other) => one.since.localeCompare(other.since));
  return {
    alerts: alerts.slice(0, 200),
    total: alerts.length,
    firing: alerts.length,
    acknowledged: 0,
    silenced: 0,
    next: null,
  };
}
