// First: what comes after it reads the language.
import "./lib/valid-language.ts";

import { mount } from "svelte";
import App from "./app.svelte";
import "./app.css";

mount(App, { target: document.getElementById("app") as HTMLElement });

// While it is developed, the page is the server's. Where there may be no service worker, it stays so.
if (import.meta.env.PROD)
	void navigator.serviceWorker?.register(new URL("service-worker.js", document.baseURI)).catch(() => {});
