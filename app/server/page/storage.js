// What outlives the page: values in the browser's storage, and the text in the page's address.
const MAX_CHARACTERS = 2000; // some programs cut longer addresses

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

// Returns the text in the address after the #, which browsers do not send. Links like LibreTranslate's, with ?q=, work too.
export function readLink() {
  const parameters = new URLSearchParams(location.hash.slice(1) || location.search);
  return { source: parameters.get("source"), target: parameters.get("target"), text: parameters.get("q") };
}

export function writeLink(source, target, text) {
  const isShort = text && text.length <= MAX_CHARACTERS;
  const address = isShort ? `#${new URLSearchParams({ source, target, q: text })}` : location.pathname;
  window.history.replaceState(null, "", address);
}
