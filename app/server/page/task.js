// The words of the page, which depend on the task of the chosen model. The server says them.
import { at } from "./elements.js";

const WARNINGS = { cut: "the end of the text was not read" }; // the other names say enough

let current = null;

export const task = () => current;

// True if the model writes a text as one watches; `generate` is its view.
export const writes = () => current.display === "generation";

// Shows the words of a task, and hides what has no meaning for it.
export function showTask(chosen) {
  current = chosen;
  document.title = `nmt: ${chosen.verb}`;
  at("tab-translate").textContent = chosen.heading;
  const [label, field, hint] = writes() ? ["prompt-label", "prompt", "write-hint"] : ["text-label", "text", "hint"];
  at(label).textContent = chosen.input;
  at(field).placeholder = chosen.placeholder;
  at(hint).textContent = chosen.hint;
  at("translation").setAttribute("aria-label", capitalized(chosen.output));
  at("copy").title = `Copy the ${chosen.output} (Alt+C)`;
  at("output-noun").textContent = chosen.output;
  at("list-hint").hidden = !chosen.alternatives;
  at("generating").hidden = !writes();
  at("translating").hidden = writes();
  at("languages").hidden = at("files").hidden = !chosen.between_languages;
}

export const capitalized = (noun) => noun[0].toUpperCase() + noun.slice(1);

// A message about the sentences that have warnings, or "".
export function warning(sentences) {
  const warned = sentences.filter((one) => one.warnings.length);
  if (!warned.length) return "";
  const count = warned.length === 1 ? "one sentence" : `${warned.length} sentences`;
  const names = new Set(warned.flatMap((one) => one.warnings));
  return `Check ${current.between_languages ? count : `the ${current.output}`}: ${[...names].map((name) => WARNINGS[name] ?? name).join(", ")}`;
}
