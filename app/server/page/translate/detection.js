// Identification of the language of the text, and the note about a text in another language than the chosen one.
import { at } from "../elements.js";
import { post, showProblem } from "../server.js";
import { find, isPair, languages, setSource, setTarget, showDetected, targetsOf } from "./languages.js";

const MIN_CHARACTERS = 12; // the language of a shorter text is often uncertain

// Detects the language of the text and shows it. Returns false if no model translates from it into the target language.
export async function detectLanguage(text, signal) {
  const found = await post("api/detect", { text }, signal);
  const [, target] = languages();
  if (found.confidence === 0) showDetected(null); // no letters, which are the same in all languages
  else if (isPair(found.code, target)) showDetected(found);
  else {
    showDetected(null);
    showUntranslated(found, target);
    return false;
  }
  return true;
}

// Notes that the text looks like another language than the chosen one, and offers that language if a model reads it.
export async function checkLanguage(text, signal) {
  if (text.trim().length < MIN_CHARACTERS) return;
  const [source, target] = languages();
  try {
    const found = await post("api/detect", { text, source }, signal);
    if (signal.aborted || found.code === source) return;
    const other = targetsOf(found.code).length > 0;
    showNote(
      `This looks like ${found.name}, not ${find(source, target).source.name}.`,
      other && [`Translate from ${found.name}`, () => setSource(found.code)],
    );
  } catch {
    if (!signal.aborted) showProblem(""); // the translation is there, and the note is not necessary
  }
}

function showUntranslated(found, target) {
  const into = targetsOf(found.code)[0];
  const name = at("target-language").selectedOptions[0].text;
  showNote(
    found.code === target ? `This looks like ${name} already.` : `This looks like ${found.name}. No model translates it into ${name}.`,
    into && [`Translate into ${into.name}`, () => setTarget(into.code)],
  );
}

// Shows a message and, if there is a way out, a button with its name and what it does.
function showNote(message, way) {
  at("looks").textContent = message;
  at("looks").hidden = false;
  at("way-out").hidden = !way;
  if (!way) return;
  const [name, act] = way;
  at("way-out").textContent = name;
  at("way-out").onclick = () => {
    at("text").focus(); // the button disappears
    act();
  };
}

export function hideNote() {
  at("looks").textContent = "";
  at("looks").hidden = at("way-out").hidden = true;
}
