// Puts the page up and connects it.

import { computed, effect, untracked } from "@preact/signals";
import { render } from "preact";
import { App } from "./app.tsx";
import { follow, startClocks } from "./live.ts";
import { asked, view } from "./page.ts";
import "./style.css";

const page = document.getElementById("page");
if (page !== null) render(<App />, page);
startClocks();

const query = computed(() => view.value.query);
effect(() => {
  void asked.value;
  const wanted = query.value;
  untracked(() => void follow(wanted));
});
