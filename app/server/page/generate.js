// The view of a language model: continues a prompt, shows the text as it is written, and at each part of it what the model
// might have written there instead.
import { copyFrom } from "./clipboard.js";
import { at, make } from "./elements.js";
import { events, showProblem } from "./server.js";
import { writeLink } from "./storage.js";
import { task, writes } from "./task.js";

const ALTERNATIVES = 8;
const LEAVE_MS = 150; // the pointer may cross a gap on its way from the text to the list
const VISIBLE = { "": "⟨end⟩", "\n": "⏎", "\t": "⇥" };
const REASONS = { length: "The text has the chosen length", end: "The model ended the text" };

const written = at("written");
const instead = at("instead");
let models = [];
let limit = Infinity;
let running = null;
let parts = []; // of the text, each beside its element
let leaveTimer = 0;

export function startGenerating(all, settings) {
  models = all.filter((model) => model.task.display === "generation");
  limit = settings.charLimit;
  at("model").replaceChildren(...models.map((model) => new Option(model.name, model.name)));
  at("model-choice").hidden = models.length < 2;
  at("generating").addEventListener("submit", (event) => {
    event.preventDefault();
    if (!running) write();
  });
  at("write").addEventListener("click", (event) => {
    if (!running) return;
    event.preventDefault(); // Stop works even if a number field is invalid
    if (event.detail < 2) running.abort(); // but not by the second click on Write
  });
  at("prompt").addEventListener("input", countCharacters);
  at("prompt").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.ctrlKey && !running) at("generating").requestSubmit();
  });
  for (const range of document.querySelectorAll(".settings [type=range]")) {
    range.addEventListener("input", () => { range.nextElementSibling.textContent = range.value; });
  }
  at("copy-text").addEventListener("click", copy);
  startShowing();
}

function countCharacters() {
  const length = [...at("prompt").value].length; // code points, as the server counts
  const isLong = length > limit;
  at("prompt").setAttribute("aria-invalid", isLong);
  at("prompt-count").textContent = isLong ? `${(length - limit).toLocaleString()} characters too many` : "";
  return !isLong;
}

const asked = () => ({
  model: at("model").value, prompt: at("prompt").value, temperature: Number(at("temperature").value),
  top_p: Number(at("top-p").value), top_k: Number(at("top-k").value), max_tokens: Number(at("length").value),
  stream: true, alternatives: ALTERNATIVES,
});

async function write() {
  if (!countCharacters()) return;
  running = new AbortController();
  const { signal } = running;
  const request = asked();
  const { source, target } = models[at("model").selectedIndex];
  begin(request);
  let message = "";
  try {
    for await (const part of events("api/generate", request, signal, (end) => { message = REASONS[end.reason]; })) add(part);
    if (writes()) writeLink(source.code, target.code, request.prompt); // the task may have been changed meanwhile
  } catch (error) {
    message = signal.aborted ? "Stopped" : "";
    if (!signal.aborted) showProblem(`${parts.length ? "The text is incomplete" : "No text"}: ${error.message}`, tryAgain);
  }
  running = null;
  at("write").textContent = "Write";
  at("write-status").textContent = message;
  written.setAttribute("aria-busy", "false");
}

function tryAgain() {
  at("write").focus(); // the button "Try again" disappears
  at("generating").requestSubmit();
}

function begin({ prompt }) {
  hide();
  showProblem("");
  parts = [];
  written.replaceChildren(make("span", { class: "given" }, prompt));
  written.setAttribute("aria-busy", "true");
  at("write").textContent = "Stop";
  at("write-status").textContent = task().busy;
}

function add(part) {
  const tabindex = parts.length ? -1 : 0; // one stop for the tab key; arrow keys go on from there
  const element = make("span", { class: "token", tabindex }, part.text);
  parts.push({ ...part, element });
  written.append(element);
}

// A part is shown while the pointer is on it, or while it has the focus.
function startShowing() {
  written.addEventListener("pointerover", (event) => {
    clearTimeout(leaveTimer);
    if (event.target.classList.contains("token")) show(event.target);
  });
  for (const box of [written, instead]) box.addEventListener("pointerleave", () => { leaveTimer = setTimeout(hide, LEAVE_MS); });
  instead.addEventListener("pointerenter", () => clearTimeout(leaveTimer));
  written.addEventListener("focusin", ({ target }) => {
    if (!target.classList.contains("token")) return;
    for (const { element } of parts) element.tabIndex = element === target ? 0 : -1;
    show(target);
  });
  written.addEventListener("focusout", hide);
  written.addEventListener("keydown", goByKey);
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
}

function goByKey(event) {
  if (event.altKey || event.ctrlKey || event.metaKey) return; // Alt and an arrow: back
  const now = parts.findIndex((part) => part.element === event.target);
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  const place = { Home: 0, End: parts.length - 1 }[event.key] ?? now + step;
  if (now < 0 || !parts[place]) return;
  event.preventDefault();
  parts[place].element.focus();
}

function hide() {
  clearTimeout(leaveTimer);
  instead.hidden = true;
  for (const element of written.querySelectorAll(".shown")) {
    element.classList.remove("shown");
    element.removeAttribute("aria-describedby");
  }
}

function show(element) {
  hide();
  const part = parts.find((one) => one.element === element);
  const isListed = part.alternatives.some((one) => one.text === part.text);
  const rows = isListed ? part.alternatives : [...part.alternatives, { text: part.text, probability: part.probability }];
  instead.replaceChildren(
    make("p", {}, "Most probable tokens here. The bold one was written."),
    make("ol", {}, ...rows.map((one) => row(one, one.text === part.text))),
  );
  element.classList.add("shown");
  element.setAttribute("aria-describedby", "instead");
  instead.hidden = false;
  place(element);
}

function row({ text, probability }, isDrawn) {
  const bar = make("span", { class: "bar-of" });
  bar.style.width = `${100 * probability}%`;
  const piece = make("bdi", { class: "piece" }, shown(text));
  return make("li", { class: isDrawn ? "drawn" : null }, piece, bar, make("span", { class: "share" }, percent(probability)));
}

const shown = (text) => (Object.hasOwn(VISIBLE, text) ? VISIBLE[text] : text.replace(/^ /, "␣").replaceAll("\n", "⏎"));

const percent = (share) => `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;

// Places the list below its part, or above if there is no room.
function place(element) {
  const box = element.getClientRects()[0] ?? element.getBoundingClientRect();
  const isLow = box.bottom + instead.offsetHeight + 8 > innerHeight && box.top > instead.offsetHeight + 8;
  instead.style.top = `${scrollY + (isLow ? box.top - instead.offsetHeight - 4 : box.bottom + 4)}px`;
  instead.style.left = `${Math.max(8, Math.min(scrollX + box.left, document.documentElement.clientWidth - instead.offsetWidth - 8))}px`;
}

async function copy() {
  at("write-status").textContent = await copyFrom(written, parts.length ? written.textContent : "");
}
