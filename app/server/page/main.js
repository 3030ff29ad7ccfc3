// Entry point: the tabs, and the data that both views need.
import { at } from "./elements.js";
import { get, post, showProblem } from "./server.js";
import { startGenerating } from "./generate.js";
import { isOfOtherView, showLink } from "./storage.js";
import { task, writes } from "./task.js";
import { startTranslating } from "./translate.js";
import { direction } from "./translate/languages.js";

const EXAMPLE = "Good morning."; // if the model has none
const tabs = [...document.querySelectorAll("[role=tab]")];
let inside = null;
let offered = null; // the last text that the other view was shown with

function show(tab) {
  for (const other of tabs) {
    const chosen = other === tab;
    other.setAttribute("aria-selected", chosen);
    other.tabIndex = chosen ? 0 : -1;
    at(other.getAttribute("aria-controls")).hidden = !chosen;
  }
  if (tab.id === "tab-inside") showInside(tab).catch((error) => showProblem(`The view cannot be shown: ${error.message}. Reload the page.`));
  else inside?.hide();
}

// Shows the other view, whose modules are loaded when they are needed.
async function showInside(tab) {
  at("no-inside").hidden = task().inside;
  at("inside-view").hidden = !task().inside;
  if (!task().inside) return;
  const [{ Inside }, { serverSource }] = await Promise.all([import("./inside/start.js"), import("./inside/source.js")]);
  if (tab.getAttribute("aria-selected") !== "true") return; // the user has left it meanwhile
  const hasRun = models.some(({ training }) => training);
  inside ??= new Inside(at("inside-view"), serverSource(quiet(post), quiet(get), hasRun, fasterEngineIn));
  const { source, target } = direction();
  const model = modelOf(source, target);
  const text = typed() || model.examples[0] || EXAMPLE;
  const isNew = text !== offered && !(offered === null && inside.state.values.text); // a link has its own text
  offered = text;
  inside.show({ ...direction(), ...(isNew ? { text } : {}) });
}

const modelOf = (source, target) => models.find((one) => one.source.code === source && one.target.code === target);

// The name of the first tab, if another engine computes there than in the other view.
const fasterEngineIn = (source, target) => (modelOf(source, target)?.faster_engine ? at("tab-translate").textContent : null);

// Sends requests whose failures the other view shows itself.
const quiet = (send) => async (...request) => {
  try {
    return await send(...request);
  } catch (error) {
    showProblem("");
    throw error;
  }
};

// What the model reads at once, of the text in the first view: its first sentence or line, or all of it.
function typed() {
  const text = at(writes() ? "prompt" : "text").value.trim();
  if (task().between_languages) return text.split(/(?<=[.!?。])\s|\n/)[0];
  return task().display === "tree" ? text.split("\n")[0] : text;
}

for (const [number, tab] of tabs.entries()) {
  tab.addEventListener("click", () => choose(tab));
  tab.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const next = tabs.at((number + step) % tabs.length);
    if (!step || next.hidden) return;
    choose(next);
    next.focus();
  });
}

function choose(tab) {
  if (tab.id !== "tab-inside") showLink();
  show(tab);
}

const [models, settings] = await Promise.all([get("api/models"), get("frontend/settings")]);
startGenerating(models, settings);
startTranslating(models, settings);
const showAddress = () => show(tabs[isOfOtherView() ? 1 : 0]);
addEventListener("hashchange", showAddress);
showAddress();
