// Entry point: the tabs, and the data that both views need.
import { at } from "./elements.js";
import { get } from "./server.js";
import { startGenerating } from "./generate.js";
import { startInside } from "./inside.js";
import { startTranslating } from "./translate.js";

const tabs = [...document.querySelectorAll("[role=tab]")];

function show(tab) {
  for (const other of tabs) {
    const chosen = other === tab;
    other.setAttribute("aria-selected", chosen);
    other.tabIndex = chosen ? 0 : -1;
    at(other.getAttribute("aria-controls")).hidden = !chosen;
  }
}

for (const [number, tab] of tabs.entries()) {
  tab.addEventListener("click", () => show(tab));
  tab.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const next = tabs.at((number + step) % tabs.length);
    if (!step || next.hidden) return;
    show(next);
    next.focus();
  });
}

const [models, settings] = await Promise.all([get("api/models"), get("frontend/settings")]);
startGenerating(models, settings);
startTranslating(models, settings);
startInside(models);
