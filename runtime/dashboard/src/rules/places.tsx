// A message of a rule with the places in its source made to stand out.

import { places } from "../logic/deployment.ts";

export function Places({ text }: { text: string }) {
  return (
    <>
      {places(text).map((part, n) =>
        n % 2 === 1 ? (
          <b key={n} class="place">
            {part}
          </b>
        ) : (
          part
        ),
      )}
    </>
  );
}
