// What the server sends about the way of events through the node.

export interface TopologyNode {
  id: string;
  kind: "input" | "log" | "rule" | "output" | "alerts";
  name: string;
  per_second: number;
  queued: number | null;
  status: string;
  detail: string | null;
}

export interface TopologyEdge {
  from: string;
  to: string;
  /** Null where it is not known: a rule with several outputs does not say how much goes to each. */
  per_second: number | null;
}

export interface Topology {
  nodes: TopologyNode[];
  edges: TopologyEdge[];
  /** Rules that the server left out. */
  left_out?: number;
}
