// The text in the page's address, behind the #, which no browser sends; ?q= as in LibreTranslate's links is read too.
const MOST_CHARACTERS = 2000; // longer addresses get lost on their way

export function linked() {
  const parameters = new URLSearchParams(location.hash.slice(1) || location.search);
  return { source: parameters.get("source"), target: parameters.get("target"), text: parameters.get("q") };
}

export function link(source, target, text) {
  const isShort = text && text.length <= MOST_CHARACTERS;
  const address = isShort ? `#${new URLSearchParams({ source, target, q: text })}` : location.pathname;
  window.history.replaceState(null, "", address);
}
