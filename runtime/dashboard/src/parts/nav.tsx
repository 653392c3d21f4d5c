// One entry per view: at the left on a screen, at the bottom on a telephone.

import { hrefOf, viewName } from "../address.ts";
import { VIEWS, type ViewName } from "../logic/address.ts";
import { compact } from "../logic/format.ts";
import { alerts, overview, rules } from "../page.ts";
import { ENTRIES } from "../views.tsx";
import "../styles/nav.css";

/** A number at an entry that wants a look. */
function badge(view: ViewName): { count: number; what: string; level: "critical" | "warning" } | null {
  const firing = alerts.value?.firing ?? overview.value?.alerts?.firing ?? 0;
  if (view === "alerts" && firing > 0) return { count: firing, what: "firing", level: "critical" };
  const stopped = rules.value?.quarantined ?? 0;
  if (view === "rules" && stopped > 0) return { count: stopped, what: "in quarantine", level: "warning" };
  return null;
}

export function Nav() {
  return (
    <nav class="nav" aria-label="Views">
      {VIEWS.map((view) => {
        const { title, key, icon } = ENTRIES[view];
        const here = view === viewName.value;
        const mark = badge(view);
        return (
          <a
            key={view}
            href={hrefOf(view)}
            class={here ? "nav-here" : ""}
            aria-current={here ? "page" : undefined}
            title={`${title} (g ${key})`}
          >
            <svg viewBox="0 0 24 24" aria-hidden="true">
              <path d={icon} />
            </svg>
            <span class="nav-title">{title}</span>
            {mark !== null && (
              <em class={`badge badge-${mark.level}`}>
                {compact(mark.count)}
                <span class="hidden"> {mark.what}</span>
              </em>
            )}
          </a>
        );
      })}
    </nav>
  );
}
