// Access to the browser's storage. It may be blocked or full, for example in a private window; the page works without it.
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
