// What was translated, kept in this browser alone.
import { read, write } from "./storage.js";

const MOST_REMEMBERED = 30;
const REMEMBERED = "nmt-history";

const at = (id) => document.getElementById(id);
let chosen = () => {};

export function startHistory(whenChosen) {
  chosen = whenChosen;
  at("forget").addEventListener("click", () => { write(localStorage, REMEMBERED, "[]"); show(); });
  show();
}

function entries() {
  try {
    return JSON.parse(read(localStorage, REMEMBERED)) ?? [];
  } catch {
    return [];
  }
}

// While one types on, the newest entry grows instead of leaving one for each pause.
export function remember(entry) {
  const before = entries();
  const grows = before[0] && (entry.text.startsWith(before[0].text) || before[0].text.startsWith(entry.text));
  write(localStorage, REMEMBERED, JSON.stringify([entry, ...before.slice(grows ? 1 : 0)].slice(0, MOST_REMEMBERED)));
  show();
}

function show() {
  at("history").replaceChildren(...entries().map((entry) => {
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.append(inLanguage(entry.text, entry.source), " → ", inLanguage(entry.translation, entry.target));
    button.addEventListener("click", () => chosen(entry));
    item.append(button);
    return item;
  }));
}

// Text with its language, and its direction apart from what is around it.
function inLanguage(text, language) {
  const shown = document.createElement("bdi");
  shown.lang = language;
  shown.textContent = text;
  return shown;
}
