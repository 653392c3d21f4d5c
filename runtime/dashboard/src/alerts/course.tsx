// The metric of an alert's stream from before it fired until now, with the time that it stood shaded.

import { useMemo, useState } from "preact/hooks";
import { useGet } from "../api.ts";
import type { History } from "../contract.ts";
import { Chart } from "../parts/chart.tsx";
import { seriesOf } from "../parts/course.tsx";

/** How long before the alert the chart begins: as long as the alert stands, within these bounds. */
const [SHORTEST, LONGEST] = [10 * 60_000, 6 * 3_600_000];

export function Course(props: {
  host: string | null;
  service: string | null;
  since: number;
  until: number | null;
}) {
  const { host, service, since, until } = props;
  // The question stays the same while the alert stands, but for a step now and then.
  const [now] = useState(() => Date.now());
  const end = until ?? now;
  const before = Math.min(LONGEST, Math.max(SHORTEST, end - since));
  const from = new Date(since - before).toISOString();
  const { data } = useGet<History>(
    "history",
    {
      host,
      service,
      from,
      ...(until === null ? {} : { to: new Date(until + before).toISOString() }),
      points: 240,
    },
    15_000,
  );
  const series = useMemo(() => (data === null ? null : seriesOf(data)), [data]);
  if (data === null || series === null || series.at.length < 2) return null;
  const [begin, last] = [Date.parse(data.from), Date.parse(data.to)];
  return (
    <Chart
      label="The metric before and since the alert"
      height={150}
      from={begin}
      to={last}
      shades={[{ from: since, to: until ?? last, colour: "critical" }]}
      {...series}
    />
  );
}
