// The text in the page's address, after the #, which browsers do not send. Links like LibreTranslate's, with ?q=, work too.
const MAX_CHARACTERS = 2000; // some programs cut longer addresses

export function readLink() {
  const parameters = new URLSearchParams(location.hash.slice(1) || location.search);
  return { source: parameters.get("source"), target: parameters.get("target"), text: parameters.get("q") };
}

export function writeLink(source, target, text) {
  const isShort = text && text.length <= MAX_CHARACTERS;
  const address = isShort ? `#${new URLSearchParams({ source, target, q: text })}` : location.pathname;
  window.history.replaceState(null, "", address);
}
