import { make } from "./elements.js";

// Copies the text of an element, or selects it if the browser does not allow copying. Returns the message for the user.
export async function copyFrom(element, text) {
  if (!text) return "There is nothing to copy yet";
  if (await copyText(text)) return "Copied";
  selectText(element);
  return "The browser does not allow copying. The text is selected; press Ctrl+C";
}

// Copies text to the clipboard and returns false if the browser does not allow it. Pages over plain HTTP have no
// `navigator.clipboard`, so there a hidden text field is copied.
async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyFromField(text);
  }
}

function copyFromField(text) {
  const before = document.activeElement;
  const field = make("textarea", { class: "hidden", readonly: "" });
  field.value = text;
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  before?.focus({ preventScroll: true });
  return done;
}

function selectText(element) {
  const range = document.createRange();
  range.selectNodeContents(element);
  getSelection().removeAllRanges();
  getSelection().addRange(range);
}
