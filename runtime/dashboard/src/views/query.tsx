// Query: what the index holds, as a table.

import { GridView } from "./grid.tsx";

export function QueryView() {
  return <GridView />;
}
