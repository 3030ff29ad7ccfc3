// The translating view: text on the left, its translation on the right as one types.
import { post, postForm } from "./server.js";

const WAIT_MS = 250; // after the last key
const MOST_REMEMBERED = 30;
const REMEMBERED = "nmt-history";
const DOUBTS = [[0.35, 3], [0.6, 2], [0.8, 1]]; // below this probability: how strong the shade

const at = (id) => document.getElementById(id);
const text = at("text");
const translation = at("translation");
const choices = at("choices");
let pairs = [];
let running = null;
let waiting = 0;
let sentences = [];

export function startTranslating(models) {
  pairs = models.map(({ source, target, domains }) => ({ source, target, domains }));
  fill(at("source-language"), pairs.map((pair) => pair.source));
  at("source-language").addEventListener("change", sourceChanged);
  at("target-language").addEventListener("change", targetChanged);
  at("domain").addEventListener("change", () => soon(0));
  sourceChanged();
  text.addEventListener("input", () => soon(WAIT_MS));
  at("swap").addEventListener("click", swap);
  at("copy").addEventListener("click", copy);
  at("clear").addEventListener("click", () => { text.value = ""; soon(0); text.focus(); });
  at("file").addEventListener("change", translateFile);
  at("forget").addEventListener("click", () => { localStorage.removeItem(REMEMBERED); showHistory(); });
  document.addEventListener("keydown", shortcut);
  document.addEventListener("click", (event) => {
    if (!choices.contains(event.target) && !event.target.classList.contains("word")) choices.hidden = true;
  });
  choices.addEventListener("keydown", chooseByKey);
  showHistory();
  if (text.value) soon(0);
}

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
  const back = pairs.some((pair) => pair.source.code === target && pair.target.code === source);
  at("swap").disabled = !back;
  soon(0);
}

function swap() {
  if (at("swap").disabled) return;
  const [source, target] = languages();
  text.value = translated() || text.value;
  at("source-language").value = target;
  sourceChanged();
  at("target-language").value = source;
  targetChanged();
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
  at("count").textContent = text.value ? `${text.value.length.toLocaleString()} characters` : "";
  waiting = setTimeout(translate, milliseconds);
}

async function translate() {
  if (!text.value.trim()) {
    sentences = [];
    at("status").textContent = "";
    draw();
    return;
  }
  running = new AbortController();
  at("status").textContent = "Translating …";
  try {
    const found = await post("/api/translate", { text: text.value, ...direction() }, running.signal);
    sentences = found.sentences;
    at("status").textContent = warning();
    draw();
    remember();
  } catch (error) {
    if (error.name !== "AbortError") at("status").textContent = "";
  }
}

function warning() {
  const warned = sentences.filter((one) => one.warnings.length);
  if (!warned.length) return "";
  return `Look twice at ${warned.length === 1 ? "one sentence" : `${warned.length} sentences`}: ${[...new Set(warned.flatMap((one) => one.warnings))].join(", ")}`;
}

function draw() {
  translation.replaceChildren(...sentences.map(drawSentence));
}

// Everything is text: nothing that was typed is ever read as markup.
function drawSentence(sentence, number) {
  const shown = document.createElement("span");
  shown.append(sentence.before);
  const inner = document.createElement("span");
  if (sentence.warnings.length) inner.className = "warned";
  sentence.words.forEach((word, place) => {
    const button = document.createElement("button");
    const [, level] = DOUBTS.find(([limit]) => word.confidence < limit) ?? [];
    button.className = level ? `word doubt-${level}` : "word";
    button.title = `${Math.round(100 * word.confidence)} % sure`;
    button.textContent = word.text;
    button.addEventListener("click", () => offer(number, place, button));
    inner.append(place ? " " : "", button);
  });
  shown.append(inner, sentence.after);
  return shown;
}

async function offer(number, place, button) {
  const sentence = sentences[number];
  const prefix = sentence.words.slice(0, place).map((word) => word.text).join(" ");
  const found = await post("/api/alternatives", { sentence: sentence.source, prefix, ...direction() });
  if (sentences[number] !== sentence) return; // one has typed on meanwhile
  const others = found.filter((other) => other.text !== sentence.text);
  choices.replaceChildren(...others.map((other) => {
    const item = document.createElement("li");
    item.role = "option";
    item.tabIndex = -1;
    item.textContent = other.text;
    item.addEventListener("click", () => choose(number, place, other));
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

function choose(number, place, other) {
  sentences[number] = { ...sentences[number], ...other, before: sentences[number].before, after: sentences[number].after };
  draw();
  closeChoices();
  remember();
}

async function copy() {
  await navigator.clipboard.writeText(translated());
  at("status").textContent = "Copied";
}

function shortcut(event) {
  if (event.altKey && event.key.toLowerCase() === "s") swap();
  else if (event.altKey && event.key.toLowerCase() === "c") copy();
  else if (event.key === "Escape") closeChoices();
  else return;
  event.preventDefault();
}

async function translateFile() {
  const [file] = at("file").files;
  if (!file) return;
  const [source, target] = languages();
  const form = new FormData();
  form.append("file", file);
  form.append("source", source);
  form.append("target", target);
  at("status").textContent = `Translating ${file.name} …`;
  try {
    const found = await postForm("/translate_file", form);
    const link = at("download");
    link.href = new URL(found.translatedFileUrl).pathname;
    link.download = file.name.replace(/(\.[^.]*)?$/, `.${target}$1`);
    link.hidden = false;
    at("status").textContent = "";
    link.focus();
  } catch {
    at("status").textContent = "";
  }
  at("file").value = "";
}

function history() {
  try {
    return JSON.parse(localStorage.getItem(REMEMBERED)) ?? [];
  } catch {
    return [];
  }
}

// While one types on, the newest entry grows instead of leaving one for each pause.
function remember() {
  const [source, target] = languages();
  const entry = { source, target, text: text.value, translation: translated() };
  const before = history();
  const grows = before[0] && (entry.text.startsWith(before[0].text) || before[0].text.startsWith(entry.text));
  localStorage.setItem(REMEMBERED, JSON.stringify([entry, ...before.slice(grows ? 1 : 0)].slice(0, MOST_REMEMBERED)));
  showHistory();
}

function showHistory() {
  at("history").replaceChildren(...history().map((entry) => {
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.textContent = `${entry.text} → ${entry.translation}`;
    button.addEventListener("click", () => {
      at("source-language").value = entry.source;
      sourceChanged();
      at("target-language").value = entry.target;
      text.value = entry.text;
      targetChanged();
      text.focus();
    });
    item.append(button);
    return item;
  }));
}
