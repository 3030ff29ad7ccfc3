// The view "Translate": translates the text on the left while the user types, and shows it on the right by sentences.
// With models of other tasks, the same view summarizes or parses; `task` has its words.
import { copyFrom } from "./clipboard.js";
import { at, make } from "./elements.js";
import { startFiles } from "./files.js";
import { addToHistory, startHistory } from "./history.js";
import { events, post, showProblem } from "./server.js";
import { readLink, writeLink } from "./storage.js";
import { showTask, task, warning, writes } from "./task.js";
import { drawTree } from "./tree.js";

const TYPING_PAUSE_MS = 250;
const DOUBTS = [[0.35, 3], [0.6, 2], [0.8, 1]]; // pairs of a confidence and the shade of words below it

const text = at("text");
const translation = at("translation");
const choices = at("choices");
let pairs = [];
let limit = Infinity;
let running = null;
let startTimer = 0;
let sentences = [];
let isComplete = true; // no sentence of the translation is missing

export function startTranslating(models, settings) {
  pairs = models;
  limit = settings.charLimit;
  fill(at("task"), pairs.map((pair) => ({ code: pair.task.name, name: pair.task.heading })));
  at("task-choice").hidden = at("task").options.length < 2;
  at("task").addEventListener("change", taskChanged);
  at("source-language").addEventListener("change", sourceChanged);
  at("target-language").addEventListener("change", targetChanged);
  at("domain").addEventListener("change", () => schedule(0));
  taskChanged();
  text.addEventListener("input", () => schedule(TYPING_PAUSE_MS));
  at("swap").addEventListener("click", swap);
  at("copy").addEventListener("click", copy);
  at("clear").addEventListener("click", () => { text.value = ""; schedule(0); text.focus(); });
  document.addEventListener("keydown", shortcut);
  document.addEventListener("click", (event) => {
    if (!choices.contains(event.target) && !event.target.classList.contains("word")) choices.hidden = true;
  });
  choices.addEventListener("keydown", chooseByKey);
  startFiles(settings, languages);
  startHistory(showEntry);
  addEventListener("hashchange", () => showEntry(readLink()));
  showEntry(readLink());
}

const find = (source, target) => pairs.find((pair) => pair.source.code === source && pair.target.code === target);
const isPair = (source, target) => find(source, target) !== undefined;
const ofTask = () => pairs.filter((pair) => pair.task.name === at("task").value);

function fill(select, languages) {
  const byCode = new Map(languages.map((language) => [language.code, language.name]));
  const before = select.value;
  select.replaceChildren(...[...byCode].map(([code, name]) => new Option(name, code)));
  if (byCode.has(before)) select.value = before;
}

function taskChanged() {
  showProblem(""); // it was one of the task before
  fill(at("source-language"), ofTask().map((pair) => pair.source));
  sourceChanged();
  at("swap").hidden = at("swap-hint").hidden = !ofTask().some(({ source, target }) => isPair(target.code, source.code));
}

function sourceChanged() {
  const source = at("source-language").value;
  fill(at("target-language"), ofTask().filter((pair) => pair.source.code === source).map((pair) => pair.target));
  targetChanged();
}

function targetChanged() {
  const [source, target] = languages();
  const known = pairs.filter((pair) => pair.source.code === source && pair.target.code === target).flatMap((pair) => pair.domains);
  fill(at("domain"), [{ code: "", name: "any" }, ...known.map((name) => ({ code: name, name }))]);
  at("domain-choice").hidden = !known.length;
  at("swap").disabled = !isPair(target, source);
  at("swap").title = at("swap").disabled ? "No model translates in the other direction" : "Swap the languages (Alt+S)";
  showTask(find(source, target).task);
  [text.lang, translation.lang] = task().between_languages ? [source, target] : ["", ""];
  choices.lang = translation.lang;
  schedule(0);
}

function choosePair(source, target) {
  if (!isPair(source, target)) return;
  at("task").value = find(source, target).task.name;
  taskChanged();
  at("source-language").value = source;
  sourceChanged();
  at("target-language").value = target;
  targetChanged();
}

function swap() {
  if (at("swap").disabled) return;
  const [source, target] = languages();
  text.value = (isComplete && translatedText()) || text.value;
  choosePair(target, source);
}

// Shows an entry of the history, or the text in the page's address.
function showEntry(entry) {
  choosePair(entry.source, entry.target);
  if (entry.text === null) return;
  const field = writes() ? at("prompt") : text;
  field.value = entry.text;
  schedule(0);
  field.focus();
}

const languages = () => [at("source-language").value, at("target-language").value];

// The languages and the domain, as fields of a request.
export function direction() {
  const [source, target] = languages();
  return { source, target, domain: at("domain").value || null };
}

const translatedText = () => sentences.map((one) => one.before + one.text + one.after).join("");

function schedule(milliseconds) {
  clearTimeout(startTimer);
  running?.abort();
  choices.hidden = true;
  if (writes()) return;
  const length = [...text.value].length; // code points, as the server counts
  at("count").textContent = `${length.toLocaleString()} of ${limit.toLocaleString()} characters`;
  text.setAttribute("aria-invalid", length > limit);
  startTimer = setTimeout(length > limit ? refuseLength : translate, milliseconds, length);
}

function refuseLength(length) {
  finish(`${(length - limit).toLocaleString()} characters too many`);
}

async function translate() {
  if (!text.value.trim()) {
    clearTranslation();
    finish("");
    writeLink();
    return;
  }
  running = new AbortController();
  const { signal } = running;
  at("status").textContent = task().busy;
  translation.setAttribute("aria-busy", "true");
  isComplete = false;
  let isFirst = true;
  try {
    const asked = { text: text.value, words: task().display === "text", ...direction() };
    for await (const sentence of events("api/stream", asked, signal)) {
      if (isFirst) clearTranslation(); // the old translation stays until then
      isFirst = false;
      showSentence(sentence.number, sentence);
    }
    isComplete = true;
    finish(warning(sentences));
    writeLink(...languages(), text.value);
    saveToHistory();
  } catch (error) {
    if (signal.aborted) return;
    showProblem(`${isFirst ? `No ${task().output}` : `The ${task().output} is incomplete`}: ${error.message}`, tryAgain);
    finish("");
  }
}

function tryAgain() {
  text.focus(); // the button "Try again" disappears
  schedule(0);
}

function clearTranslation() {
  sentences = [];
  translation.replaceChildren();
}

function finish(message) {
  at("status").textContent = message;
  translation.setAttribute("aria-busy", "false");
}

// Shows a sentence in its place, with an ellipsis for each missing sentence before it.
function showSentence(number, sentence) {
  while (translation.childElementCount <= number) {
    sentences.push({ before: "", text: "", after: "", words: [], warnings: [] });
    translation.append(make("span", { class: "missing" }, "… "));
  }
  sentences[number] = sentence;
  translation.children[number].replaceWith(sentenceElement(sentence, number));
}

function saveToHistory() {
  const [source, target] = languages();
  addToHistory({ source, target, hasLanguages: task().between_languages, text: text.value, translation: translatedText() });
}

// Words are not <button> elements, because these ignore the direction of the text around them.
function sentenceElement(sentence, number) {
  if (task().display === "tree") return sentence.text ? drawTree(sentence.text) : make("span");
  const inner = make("span", { class: sentence.warnings.length ? "warned" : null });
  sentence.words.forEach((word, place) => {
    const [, level] = DOUBTS.find(([limit]) => word.confidence < limit) ?? [];
    const title = `Confidence: ${Math.round(100 * word.confidence)} %`;
    const button = make("span", { class: level ? `word doubt-${level}` : "word", title }, word.text);
    inner.append(place ? " " : "", button);
    if (!task().alternatives) return;
    button.role = "button";
    button.tabIndex = 0;
    button.classList.add("choosable");
    button.addEventListener("click", () => showAlternatives(number, place, button));
    button.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      showAlternatives(number, place, button);
    });
  });
  if (!sentence.words.length) inner.append(sentence.text);
  return make("span", {}, sentence.before, inner, sentence.after);
}

async function showAlternatives(number, place, button) {
  const sentence = sentences[number];
  const prefix = sentence.words.slice(0, place).map((word) => word.text).join(" ");
  const found = await post("api/alternatives", { sentence: sentence.source, prefix, ...direction() }).catch(() => []);
  if (sentences[number] !== sentence) return; // the text has changed since
  const others = found.filter((other) => other.text !== sentence.text);
  choices.replaceChildren(...others.map((other) => {
    const item = make("li", { role: "option", tabindex: -1, dir: "auto" }, other.text);
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
  showSentence(number, { ...sentences[number], ...other, before: sentences[number].before, after: sentences[number].after });
  closeChoices();
  saveToHistory();
}

async function copy() {
  at("status").textContent = await copyFrom(translation, translatedText());
}

function shortcut(event) {
  if (writes()) return;
  if (event.altKey && event.key.toLowerCase() === "s") swap();
  else if (event.altKey && event.key.toLowerCase() === "c") copy();
  else if (event.key === "Escape") closeChoices();
  else return;
  event.preventDefault();
}
