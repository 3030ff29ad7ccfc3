// Copies text to the clipboard and returns false if the browser does not allow it. Pages over plain HTTP have no
// `navigator.clipboard`, so there a hidden text field is copied.
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyFromField(text);
  }
}

function copyFromField(text) {
  const before = document.activeElement;
  const field = document.createElement("textarea");
  field.className = "hidden";
  field.readOnly = true;
  field.value = text;
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  before?.focus({ preventScroll: true });
  return done;
}

// Selects the text of an element, so that the user can copy it.
export function selectText(element) {
  const range = document.createRange();
  range.selectNodeContents(element);
  getSelection().removeAllRanges();
  getSelection().addRange(range);
}
