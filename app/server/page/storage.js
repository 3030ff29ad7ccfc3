// What outlives the page: values in the browser's storage, and the text in the page's address.
const MAX_CHARACTERS = 2000; // some programs cut longer addresses

let own = location.pathname; // the address of the view for texts

// The storage may be blocked or full, for example in a private window; the page works without it.
export function read(storage, name) {
  try {
    return storage.getItem(name);
  } catch {
    return null;
  }
}

export function write(storage, name, value) {
  try {
    storage.setItem(name, value);
  } catch {
    // the page works without it
  }
}

// Returns the text in the address after the #, which browsers do not send. Links like LibreTranslate's, with ?q=, work too. In an
// address of the other view, only the languages are of interest here.
export function readLink() {
  const parameters = new URLSearchParams(location.hash.replace(/^#(inside\/.*?\?)?/, "") || location.search);
  return { source: parameters.get("source"), target: parameters.get("target"), text: parameters.get("q") };
}

export function writeLink(source, target, text) {
  const isShort = text && text.length <= MAX_CHARACTERS;
  const address = isShort ? `#${new URLSearchParams({ source, target, q: text })}` : location.pathname;
  own = address;
  if (!isOfOtherView()) showLink();
}

// Shows the text of the view for texts in the address, after the other view was shown.
export const showLink = () => window.history.replaceState(null, "", own);

// True if the address is one of the view "Inside the Transformer".
export const isOfOtherView = () => location.hash.startsWith("#inside/");
