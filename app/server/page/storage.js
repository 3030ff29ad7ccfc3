// What the browser keeps, where it does: a private window or a full disk may keep nothing, and the page works all the same.
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
    // not kept
  }
}
