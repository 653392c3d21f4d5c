// What a module says about itself: the section that the SDK puts into it.

import { digest } from "./rules.mjs";

/** An unsigned number in LEB128, and where it ends. */
function number(bytes, at) {
  let value = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[at++];
    value += (byte & 127) * 2 ** shift;
    if (byte < 128) return [value, at];
  }
}

/** The text of the section; null when the module has none. */
function section(bytes) {
  for (let at = 8; at < bytes.length; ) {
    const kind = bytes[at];
    const [size, begin] = number(bytes, at + 1);
    if (kind === 0) {
      const [length, name] = number(bytes, begin);
      if (bytes.toString("utf8", name, name + length) === "tidegate.manifest")
        return bytes.toString("utf8", name + length, begin + size);
    }
    at = begin + size;
  }
  return null;
}

const OUTPUTS = ["output", "outputs"];

/** The manifest as the node tells it; null when there is none. */
export function manifestOf(bytes) {
  const text = section(bytes);
  if (text === null) return null;
  const { name, version, doc, query, per, params, state_schema, sdk } = JSON.parse(text);
  return {
    module: digest(`${name} ${version} ${bytes.length}`),
    name,
    version,
    doc,
    query,
    per,
    bytes: bytes.length,
    parameters: params
      .filter(({ kind }) => !OUTPUTS.includes(kind))
      .map(({ name, kind, doc, default: usual = null, optional }) => ({
        name,
        type: kind,
        doc,
        default: usual,
        required: usual === null && !optional,
      })),
    outputs: params
      .filter(({ kind }) => OUTPUTS.includes(kind))
      .map(({ name, kind, doc }) => ({ name, doc, many: kind === "outputs" })),
    schema: state_schema,
    limits: {
      deadline_ms: 20,
      memory: 16 << 20,
      effects_per_row: 4,
      effects_base: 64,
      effect_bytes: 1 << 20,
      keys: 100_000,
    },
    sdk,
    imports: ["tidegate_abi_1"],
  };
}
