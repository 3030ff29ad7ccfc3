// The lists of tasks, languages and domains, and the pair of languages that they choose.
import { at } from "../elements.js";
import { showProblem } from "../server.js";
import { showTask, task } from "../task.js";

export const AUTO = "auto"; // the value of "Detect language"

let pairs = [];
let detected = null; // the code of the language that the text is in, while the language is detected
let onChange = () => {};

// Fills the lists, and calls `changed` after each change of the languages or the domain.
export function startLanguages(models, changed) {
  pairs = models;
  onChange = changed;
  fill(at("task"), pairs.map((pair) => ({ code: pair.task.name, name: pair.task.heading })));
  at("task-choice").hidden = at("task").options.length < 2;
  at("task").addEventListener("change", taskChanged);
  at("source-language").addEventListener("change", sourceChanged);
  at("target-language").addEventListener("change", targetChanged);
  at("domain").addEventListener("change", () => onChange());
  taskChanged();
}

export const find = (source, target) => pairs.find((pair) => pair.source.code === source && pair.target.code === target);
export const isPair = (source, target) => find(source, target) !== undefined;
export const isDetecting = () => at("source-language").value === AUTO;
// The languages into which models of the chosen task translate from another.
export const targetsOf = (source) => ofTask().filter((pair) => pair.source.code === source).map((pair) => pair.target);
const ofTask = () => pairs.filter((pair) => pair.task.name === at("task").value);

// The codes of the languages. Before a language is detected, they are those of the first model into the target language.
export function languages() {
  const [chosen, target] = [at("source-language").value, at("target-language").value];
  if (chosen !== AUTO) return [chosen, target];
  return [detected ?? ofTask().find((pair) => pair.target.code === target).source.code, target];
}

// The values of the lists, for a file.
export const languagesOfFile = () => [at("source-language").value, at("target-language").value];

// The languages and the domain, as fields of a request.
export function direction() {
  const [source, target] = languages();
  return { source, target, domain: at("domain").value || null };
}

// The models of the chosen task that may translate what is typed: of one pair, or of each language that may be detected.
export const offered = () => ofTask().filter((pair) => pair.target.code === at("target-language").value
  && (isDetecting() || pair.source.code === at("source-language").value));

function fill(select, languages) {
  const byCode = new Map(languages.map((language) => [language.code, language.name]));
  const before = select.value;
  select.replaceChildren(...[...byCode].map(([code, name]) => new Option(name, code)));
  if (byCode.has(before)) select.value = before;
}

function taskChanged() {
  showProblem(""); // it was one of the task before
  const sources = ofTask().map((pair) => pair.source);
  const isChoice = ofTask()[0].task.between_languages && new Set(sources.map((one) => one.code)).size > 1;
  const before = at("source-language").value;
  fill(at("source-language"), [...(isChoice ? [{ code: AUTO, name: "Detect language" }] : []), ...sources]);
  if (isDetecting() && before !== AUTO) at("source-language").value = sources[0].code; // until the user chooses
  sourceChanged();
  at("swap").hidden = at("swap-hint").hidden = !ofTask().some(({ source, target }) => isPair(target.code, source.code));
}

function sourceChanged() {
  const source = at("source-language").value;
  fill(at("target-language"), ofTask().filter((pair) => isDetecting() || pair.source.code === source).map((pair) => pair.target));
  showDetected(null);
  targetChanged();
}

function targetChanged() {
  if (!isPair(detected, at("target-language").value)) showDetected(null);
  showDomains();
  onChange();
}

function showDomains() {
  const [source, target] = languages();
  const known = pairs.filter((pair) => pair.source.code === source && pair.target.code === target).flatMap((pair) => pair.domains);
  fill(at("domain"), [{ code: "", name: "any" }, ...known.map((name) => ({ code: name, name }))]);
  at("domain-choice").hidden = !known.length;
  const canSwap = isPair(target, source) && !(isDetecting() && !detected);
  at("swap").disabled = !canSwap;
  at("swap").title = canSwap ? "Swap the languages (Alt+S)" : "No model translates in the other direction";
  if (isDetecting() && !detected) at("swap").title = "The language is not known yet";
  showTask((find(source, target) ?? ofTask()[0]).task);
  const isLanguage = task().between_languages;
  at("text").lang = isLanguage && !(isDetecting() && !detected) ? source : "";
  at("translation").lang = at("choices").lang = isLanguage ? target : "";
}

// Shows a detected language, with its code and name, in the list; null: none yet.
export function showDetected(found) {
  detected = found?.code ?? null;
  if (!isDetecting()) return;
  at("source-language").options[0].text = found ? `${found.name} (detected)` : "Detect language";
  showDomains();
}

export function setSource(source) {
  at("source-language").value = source;
  sourceChanged();
}

export function setTarget(target) {
  at("target-language").value = target;
  targetChanged();
}

// Chooses a source language, and the target language if there is a model for both.
export function choosePair(source, target) {
  if (!isPair(source, target)) return;
  at("task").value = find(source, target).task.name;
  taskChanged();
  setSource(source);
  setTarget(target);
}
