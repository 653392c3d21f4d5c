// Overview: for the wall.

import { overview } from "../page.ts";

export function Overview() {
  return <p>{overview.value?.version}</p>;
}
