// Sentences that the model knows from its dev set, offered while the text field is empty.
import { at, make } from "../elements.js";
import { offered } from "./languages.js";

const MOST = 3;

// Shows the examples if the text is empty. A click on one calls `choose` with it.
export function showExamples(text, choose) {
  const found = text ? [] : examples();
  at("examples").hidden = !found.length;
  if (at("examples").dataset.shown === JSON.stringify(found)) return;
  at("examples").dataset.shown = JSON.stringify(found);
  at("examples").replaceChildren(...found.map(({ language, text }) => {
    const button = make("button", { type: "button", class: "chip", title: text, lang: language, dir: "auto" }, text);
    button.addEventListener("click", () => choose(text));
    return button;
  }));
}

// One after the other of each model, so that each language has one.
function examples() {
  const models = offered().map((pair) => ({ language: pair.task.between_languages ? pair.source.code : null, texts: pair.examples }));
  const longest = Math.max(0, ...models.map((one) => one.texts.length));
  const all = Array.from({ length: longest }, (_, place) => models.map(({ language, texts }) => ({ language, text: texts[place] })));
  return [...new Map(all.flat().filter((one) => one.text?.trim()).map((one) => [one.text, one])).values()].slice(0, MOST);
}
