// First: what comes after it reads the language.
import "./lib/valid-language.ts";

import { mount } from "svelte";
import App from "./app.svelte";
import "./app.css";

mount(App, { target: document.getElementById("app") as HTMLElement });
