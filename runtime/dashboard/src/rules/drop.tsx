// The whole page takes a module that is dropped onto it; a button does the same for the keyboard.

import { useEffect, useRef, useState } from "preact/hooks";
import { take } from "./dropped.ts";

const holdsFiles = (event: DragEvent): boolean => event.dataTransfer?.types.includes("Files") ?? false;

/** Put on the page once: a veil while a file hangs over it. */
export function DropZone() {
  const [over, setOver] = useState(false);
  useEffect(() => {
    // Entering and leaving come for each element on the way.
    let depth = 0;
    const end = new AbortController();
    const on = (name: "dragenter" | "dragover" | "dragleave" | "drop", act: (event: DragEvent) => void) =>
      addEventListener(
        name,
        (event) => {
          if (!holdsFiles(event)) return;
          event.preventDefault();
          act(event);
        },
        { signal: end.signal },
      );
    on("dragenter", () => {
      depth++;
      setOver(true);
    });
    on("dragover", (event) => {
      if (event.dataTransfer !== null) event.dataTransfer.dropEffect = "copy";
    });
    on("dragleave", () => {
      depth = Math.max(0, depth - 1);
      if (depth === 0) setOver(false);
    });
    on("drop", (event) => {
      depth = 0;
      setOver(false);
      void take(event.dataTransfer?.files ?? null);
    });
    return () => end.abort();
  }, []);
  if (!over) return null;
  return (
    <div class="veil" aria-hidden="true">
      <div>
        <strong>Drop the rule</strong>
        <span>a .wasm module; nothing runs before you say so</span>
      </div>
    </div>
  );
}

export function FileButton({ label }: { label: string }) {
  const field = useRef<HTMLInputElement>(null);
  return (
    <>
      <button
        type="button"
        class="primary small"
        onClick={() => field.current?.click()}
        title="Or drop a .wasm file anywhere on the page"
      >
        {label}
      </button>
      <input
        ref={field}
        class="hidden"
        type="file"
        accept=".wasm,application/wasm"
        tabIndex={-1}
        aria-label="A rule's module"
        onChange={(event) => {
          const { files } = event.currentTarget;
          void take(files).then(() => {
            if (field.current !== null) field.current.value = "";
          });
        }}
      />
    </>
  );
}
