// The view "Translate": translates the text on the left while the user types, and shows it on the right by sentences.
// With models of other tasks, the same view summarizes or parses; `task` has its words.
import { copyFrom } from "./clipboard.js";
import { at, make } from "./elements.js";
import { startFiles } from "./files.js";
import { addToHistory, startHistory } from "./history.js";
import { events, showProblem } from "./server.js";
import { readLink, writeLink } from "./storage.js";
import { task, warning, writes } from "./task.js";
import { closeChoices, showAlternatives, startAlternatives } from "./translate/alternatives.js";
import { checkLanguage, detectLanguage, hideNote } from "./translate/detection.js";
import { showExamples } from "./translate/examples.js";
import { choosePair, direction, isDetecting, languages, languagesOfFile, showDetected, startLanguages } from "./translate/languages.js";
import { showButtons, startSpeech, stop } from "./translate/speech.js";
import { drawTree } from "./tree.js";

const TYPING_PAUSE_MS = 250;
const SHORT = 60; // characters; shorter texts are shown larger
const MEDIUM = 200;
const DOUBTS = [[0.35, 3], [0.6, 2], [0.8, 1]]; // pairs of a confidence and the shade of words below it

const text = at("text");
const translation = at("translation");
let limit = Infinity;
let running = null;
let startTimer = 0;
let sentences = [];
let isComplete = true; // no sentence of the translation is missing

export function startTranslating(models, settings) {
  limit = settings.charLimit;
  startSpeech([
    { id: "listen-source", text: () => text.value, language: () => languages()[0] },
    { id: "listen-target", text: translatedText, language: () => languages()[1] },
  ]);
  startLanguages(models, () => schedule(0));
  text.addEventListener("input", () => schedule(TYPING_PAUSE_MS));
  at("swap").addEventListener("click", swap);
  at("copy").addEventListener("click", copy);
  at("clear").addEventListener("click", () => type(""));
  document.addEventListener("keydown", shortcut);
  startAlternatives((number) => sentences[number], choose);
  startFiles(settings, languagesOfFile);
  startHistory(showEntry);
  addEventListener("hashchange", () => showEntry(readLink()));
  showEntry(readLink());
}

// Puts a text into the field as if the user had typed it.
function type(value) {
  text.value = value;
  schedule(0);
  text.focus();
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

const translatedText = () => sentences.map((one) => one.before + one.text + one.after).join("");

function schedule(milliseconds) {
  clearTimeout(startTimer);
  running?.abort();
  stop();
  at("choices").hidden = true;
  if (writes()) return;
  hideNote();
  const length = [...text.value].length; // code points, as the server counts
  showField(length);
  startTimer = setTimeout(length > limit ? refuseLength : translate, milliseconds, length);
}

// Shows what depends on whether there is a text, and on its length.
function showField(length) {
  at("count").textContent = `${length.toLocaleString()} of ${limit.toLocaleString()} characters`;
  text.setAttribute("aria-invalid", length > limit);
  at("translating").dataset.length = length <= SHORT ? "short" : length <= MEDIUM ? "medium" : "long";
  at("clear").hidden = !length;
  showExamples(text.value, type);
  showButtons();
}

function refuseLength(length) {
  finish(`${(length - limit).toLocaleString()} characters too many`);
}

async function translate() {
  if (!text.value.trim()) {
    if (isDetecting()) showDetected(null);
    showNothing();
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
    if (isDetecting() && !(await detectLanguage(text.value, signal))) return showNothing();
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
    if (task().between_languages && !isDetecting()) checkLanguage(text.value, signal);
  } catch (error) {
    if (signal.aborted) return;
    showProblem(`${isFirst ? `No ${task().output}` : `The ${task().output} is incomplete`}: ${error.message}`, tryAgain);
    finish("");
  }
}

function showNothing() {
  clearTranslation();
  finish("");
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
  showButtons();
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
