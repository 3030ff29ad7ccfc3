// The list of alternative translations of a sentence, which a click on one of its words opens.
import { at, make } from "../elements.js";
import { post } from "../server.js";
import { direction } from "./languages.js";

const choices = at("choices");

let sentenceAt = () => null;
let onChoice = () => {};

// `sentence` returns the sentence of a number. `choose` is called with the number of a sentence and the chosen alternative.
export function startAlternatives(sentence, choose) {
  sentenceAt = sentence;
  onChoice = choose;
  document.addEventListener("click", (event) => {
    if (!choices.contains(event.target) && !event.target.classList.contains("word")) choices.hidden = true;
  });
  choices.addEventListener("keydown", chooseByKey);
}

export async function showAlternatives(number, place, button) {
  const sentence = sentenceAt(number);
  const prefix = sentence.words.slice(0, place).map((word) => word.text).join(" ");
  const found = await post("api/alternatives", { sentence: sentence.source, prefix, ...direction() }).catch(() => []);
  if (sentenceAt(number) !== sentence) return; // the text has changed since
  const others = found.filter((other) => other.text !== sentence.text);
  choices.replaceChildren(...others.map((other) => {
    const item = make("li", { role: "option", tabindex: -1, dir: "auto" }, other.text);
    item.addEventListener("click", () => onChoice(number, other));
    return item;
  }));
  if (!others.length) return;
  const box = button.getBoundingClientRect();
  choices.hidden = false;
  choices.style.top = `${window.scrollY + box.bottom + 4}px`;
  choices.style.left = `${Math.max(8, Math.min(window.scrollX + box.left, window.innerWidth - choices.offsetWidth - 12))}px`;
  choices.dataset.back = `${number} ${place}`;
  select(0);
}

function select(place) {
  const items = [...choices.children];
  items.forEach((item, i) => item.setAttribute("aria-selected", i === place));
  items[place]?.focus();
}

function chooseByKey(event) {
  const items = [...choices.children];
  const now = items.indexOf(document.activeElement);
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step) select((now + step + items.length) % items.length);
  else if (event.key === "Enter" || event.key === " ") items[now]?.click();
  else if (event.key === "Escape") closeChoices();
  else return;
  event.preventDefault();
}

export function closeChoices() {
  if (choices.hidden) return;
  choices.hidden = true;
  const [number, place] = choices.dataset.back.split(" ");
  at("translation").children[number]?.querySelectorAll(".word")[place]?.focus();
}
