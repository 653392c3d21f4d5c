// Alerts: what rules told people about.

import { Said } from "../parts/said.tsx";

export function Alerts() {
  return <Said />;
}
