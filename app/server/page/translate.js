// The translating view: text on the left, its translation on the right as one types, sentence by sentence.
import { copied, mark } from "./clipboard.js";
import { startFiles } from "./files.js";
import { remember, startHistory } from "./history.js";
import { link, linked } from "./link.js";
import { events, post, say } from "./server.js";

const WAIT_MS = 250; // after the last key
const DOUBTS = [[0.35, 3], [0.6, 2], [0.8, 1]]; // below this probability: how strong the shade

const at = (id) => document.getElementById(id);
const text = at("text");
const translation = at("translation");
const choices = at("choices");
let pairs = [];
let limit = Infinity;
let running = null;
let waiting = 0;
let sentences = [];
let isWhole = true; // nothing of the translation is missing

export function startTranslating(models, settings) {
  pairs = models.map(({ source, target, domains }) => ({ source, target, domains }));
  limit = settings.charLimit;
  fill(at("source-language"), pairs.map((pair) => pair.source));
  at("source-language").addEventListener("change", sourceChanged);
  at("target-language").addEventListener("change", targetChanged);
  at("domain").addEventListener("change", () => soon(0));
  at("swap").hidden = at("swap-hint").hidden = !pairs.some(({ source, target }) => isPair(target.code, source.code));
  sourceChanged();
  text.addEventListener("input", () => soon(WAIT_MS));
  at("swap").addEventListener("click", swap);
  at("copy").addEventListener("click", copy);
  at("clear").addEventListener("click", () => { text.value = ""; soon(0); text.focus(); });
  document.addEventListener("keydown", shortcut);
  document.addEventListener("click", (event) => {
    if (!choices.contains(event.target) && !event.target.classList.contains("word")) choices.hidden = true;
  });
  choices.addEventListener("keydown", chooseByKey);
  startFiles(settings, languages);
  startHistory(show);
  addEventListener("hashchange", () => show(linked()));
  show(linked());
}

const isPair = (source, target) => pairs.some((pair) => pair.source.code === source && pair.target.code === target);

function fill(select, languages) {
  const byCode = new Map(languages.map((language) => [language.code, language.name]));
  const before = select.value;
  select.replaceChildren(...[...byCode].map(([code, name]) => new Option(name, code)));
  if (byCode.has(before)) select.value = before;
}

function sourceChanged() {
  const source = at("source-language").value;
  fill(at("target-language"), pairs.filter((pair) => pair.source.code === source).map((pair) => pair.target));
  targetChanged();
}

function targetChanged() {
  const [source, target] = languages();
  const known = pairs.filter((pair) => pair.source.code === source && pair.target.code === target).flatMap((pair) => pair.domains);
  fill(at("domain"), [{ code: "", name: "anything" }, ...known.map((name) => ({ code: name, name }))]);
  at("domain-choice").hidden = !known.length;
  at("swap").disabled = !isPair(target, source);
  at("swap").title = at("swap").disabled ? "No model translates in the other direction" : "The other direction (Alt+S)";
  text.lang = source;
  translation.lang = choices.lang = target;
  soon(0);
}

function choosePair(source, target) {
  if (!isPair(source, target)) return;
  at("source-language").value = source;
  sourceChanged();
  at("target-language").value = target;
  targetChanged();
}

function swap() {
  if (at("swap").disabled) return;
  const [source, target] = languages();
  text.value = (isWhole && translated()) || text.value;
  choosePair(target, source);
}

// A text of the history or of the page's address.
function show(entry) {
  choosePair(entry.source, entry.target);
  if (entry.text === null) return;
  text.value = entry.text;
  soon(0);
  text.focus();
}

const languages = () => [at("source-language").value, at("target-language").value];

// What is to be translated into what, as the server wants to be told.
export function direction() {
  const [source, target] = languages();
  return { source, target, domain: at("domain").value || null };
}

const translated = () => sentences.map((one) => one.before + one.text + one.after).join("");

function soon(milliseconds) {
  clearTimeout(waiting);
  running?.abort();
  choices.hidden = true;
  const length = [...text.value].length; // as the server counts, an emoji as one
  at("count").textContent = `${length.toLocaleString()} of ${limit.toLocaleString()} characters`;
  text.setAttribute("aria-invalid", length > limit);
  waiting = setTimeout(length > limit ? refuse : translate, milliseconds, length);
}

function refuse(length) {
  end(`${(length - limit).toLocaleString()} characters too many`);
}

async function translate() {
  if (!text.value.trim()) {
    begin();
    end("");
    link();
    return;
  }
  running = new AbortController();
  const { signal } = running;
  at("status").textContent = "Translating …";
  translation.setAttribute("aria-busy", "true");
  isWhole = false;
  let isFirst = true;
  try {
    for await (const sentence of events("api/stream", { text: text.value, ...direction() }, signal)) {
      if (isFirst) begin(); // until then the old one stays
      isFirst = false;
      place(sentence.number, sentence);
    }
    isWhole = true;
    end(warning());
    link(...languages(), text.value);
    keep();
  } catch (error) {
    if (signal.aborted) return;
    say(`${isFirst ? "Not" : "Not all of it was"} translated: ${error.message}`);
    end("");
  }
}

function begin() {
  sentences = [];
  translation.replaceChildren();
}

function end(message) {
  at("status").textContent = message;
  translation.setAttribute("aria-busy", "false");
}

// Shows a sentence in its place; for those before it that are not there yet there is an ellipsis.
function place(number, sentence) {
  while (translation.childElementCount <= number) {
    sentences.push({ before: "", text: "", after: "", words: [], warnings: [] });
    translation.append(Object.assign(document.createElement("span"), { textContent: "… ", className: "missing" }));
  }
  sentences[number] = sentence;
  translation.children[number].replaceWith(drawn(sentence, number));
}

function keep() {
  const [source, target] = languages();
  remember({ source, target, text: text.value, translation: translated() });
}

function warning() {
  const warned = sentences.filter((one) => one.warnings.length);
  if (!warned.length) return "";
  return `Look twice at ${warned.length === 1 ? "one sentence" : `${warned.length} sentences`}: ${[...new Set(warned.flatMap((one) => one.warnings))].join(", ")}`;
}

// Everything is text: nothing that was typed is ever read as markup. Words are no <button>, which would be a box of its
// own, without a direction, in a line that runs from right to left.
function drawn(sentence, number) {
  const shown = document.createElement("span");
  shown.append(sentence.before);
  const inner = document.createElement("span");
  if (sentence.warnings.length) inner.className = "warned";
  sentence.words.forEach((word, place) => {
    const button = document.createElement("span");
    const [, level] = DOUBTS.find(([limit]) => word.confidence < limit) ?? [];
    button.className = level ? `word doubt-${level}` : "word";
    button.role = "button";
    button.tabIndex = 0;
    button.title = `${Math.round(100 * word.confidence)} % sure`;
    button.textContent = word.text;
    button.addEventListener("click", () => offer(number, place, button));
    button.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      offer(number, place, button);
    });
    inner.append(place ? " " : "", button);
  });
  if (!sentence.words.length) inner.append(sentence.text);
  shown.append(inner, sentence.after);
  return shown;
}

async function offer(number, place, button) {
  const sentence = sentences[number];
  const prefix = sentence.words.slice(0, place).map((word) => word.text).join(" ");
  const found = await post("api/alternatives", { sentence: sentence.source, prefix, ...direction() }).catch(() => []);
  if (sentences[number] !== sentence) return; // one has typed on meanwhile
  const others = found.filter((other) => other.text !== sentence.text);
  choices.replaceChildren(...others.map((other) => {
    const item = document.createElement("li");
    item.role = "option";
    item.tabIndex = -1;
    item.dir = "auto";
    item.textContent = other.text;
    item.addEventListener("click", () => choose(number, other));
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

function closeChoices() {
  if (choices.hidden) return;
  choices.hidden = true;
  const [number, place] = choices.dataset.back.split(" ");
  translation.children[number]?.querySelectorAll(".word")[place]?.focus();
}

function choose(number, other) {
  place(number, { ...sentences[number], ...other, before: sentences[number].before, after: sentences[number].after });
  closeChoices();
  keep();
}

async function copy() {
  if (!translated()) {
    at("status").textContent = "There is nothing to copy yet";
  } else if (await copied(translated())) {
    at("status").textContent = "Copied";
  } else {
    mark(translation);
    at("status").textContent = "The browser forbids it; press Ctrl+C, the translation is marked";
  }
}

function shortcut(event) {
  if (event.altKey && event.key.toLowerCase() === "s") swap();
  else if (event.altKey && event.key.toLowerCase() === "c") copy();
  else if (event.key === "Escape") closeChoices();
  else return;
  event.preventDefault();
}
