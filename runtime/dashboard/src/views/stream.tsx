// Stream: the latest events as they happen.

import { Said } from "../parts/said.tsx";

export function Stream() {
  return <Said />;
}
