// The history of translations, which stays in this browser.
import { at, make } from "./elements.js";
import { read, write } from "./storage.js";

const MAX_ENTRIES = 30;
const STORAGE_NAME = "nmt-history";

let onChoice = () => {};

export function startHistory(showEntry) {
  onChoice = showEntry;
  at("forget").addEventListener("click", () => { write(localStorage, STORAGE_NAME, "[]"); show(); });
  show();
}

function entries() {
  try {
    return JSON.parse(read(localStorage, STORAGE_NAME)) ?? [];
  } catch {
    return [];
  }
}

// Adds an entry. It replaces the newest entry if one text begins with the other, so that typing does not leave an entry for
// each pause.
export function addToHistory(entry) {
  const before = entries();
  const replaces = before[0] && (entry.text.startsWith(before[0].text) || before[0].text.startsWith(entry.text));
  write(localStorage, STORAGE_NAME, JSON.stringify([entry, ...before.slice(replaces ? 1 : 0)].slice(0, MAX_ENTRIES)));
  show();
}

function show() {
  at("history").replaceChildren(...entries().map((entry) => {
    const [text, translation] = [inLanguage(entry.text, entry.source, entry), inLanguage(entry.translation, entry.target, entry)];
    const button = make("button", {}, text, " → ", translation);
    button.addEventListener("click", () => onChoice(entry));
    return make("li", {}, button);
  }));
}

// Text marked with its language, if it is known, whose direction does not depend on the text around it.
const inLanguage = (text, language, { hasLanguages = true }) => make("bdi", { lang: hasLanguages ? language : null }, text);
