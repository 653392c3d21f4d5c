// Puts the page up and connects it.

import "./styles/base.css";
import "./styles/shell.css";
import "./styles/parts.css";
import { render } from "preact";
import { App } from "./app.tsx";
import { start } from "./live.ts";

const page = document.getElementById("page");
if (page !== null) render(<App />, page);
start();
