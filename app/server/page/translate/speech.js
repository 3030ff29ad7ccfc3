// Buttons that read a text aloud, with a voice that is installed on this machine: another voice would send the text to its
// maker. A button is hidden while there is no voice for its language.
import { at } from "../elements.js";
import { task } from "../task.js";

const engine = globalThis.speechSynthesis;

let buttons = []; // each with the text and the language that it reads
let reading = null; // the button whose text is read

// Each entry has the `id` of a button, and functions that return its `text` and its `language`.
export function startSpeech(entries) {
  buttons = entries.map(({ id, ...of }) => ({ button: at(id), ...of }));
  for (const entry of buttons) entry.button.addEventListener("click", () => (reading === entry.button ? stop() : read(entry)));
  engine?.addEventListener?.("voiceschanged", showButtons);
  addEventListener("pagehide", stop);
}

function voiceOf(language) {
  const local = engine?.getVoices().filter((voice) => voice.localService) ?? [];
  const code = language.toLowerCase();
  const base = (name) => name.split("-")[0];
  const named = local.map((voice) => [voice.lang.toLowerCase().replaceAll("_", "-"), voice]);
  return (named.find(([name]) => name === code) ?? named.find(([name]) => base(name) === base(code)))?.[1];
}

export function showButtons() {
  for (const { button, text, language } of buttons) {
    button.hidden = !task().between_languages || !voiceOf(language());
    button.disabled = !text().trim();
  }
}

function read({ button, text, language }) {
  stop();
  const spoken = new SpeechSynthesisUtterance(text());
  spoken.voice = voiceOf(language());
  spoken.lang = spoken.voice.lang;
  spoken.onend = spoken.onerror = () => { if (reading === button) show(null); };
  show(button);
  engine.speak(spoken);
}

// Ends the reading, if there is one.
export function stop() {
  if (!reading) return;
  show(null);
  engine.cancel();
}

function show(now) {
  for (const { button } of buttons) {
    button.classList.toggle("speaking", button === now);
    button.title = button === now ? "Stop" : "Listen";
    button.setAttribute("aria-label", button === now ? "Stop" : button.dataset.label);
  }
  reading = now;
}
