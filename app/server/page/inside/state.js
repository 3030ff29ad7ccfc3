// What the user has chosen: the sentence, the chapter, the layer, the head, the tokens. It stays chosen in all chapters, and
// it is in the address, so that a link shows the same. Until a token is chosen, `query` is null: the chapter chooses one.
const PREFIX = "#inside/";
const COUNTED = ["layer", "head", "query", "key", "step", "sublayer", "dimension"]; // from 0 in the state, from 1 in the address
const MEASURES = { temperature: 1, length: 64 }; // numbers as they are, which the address has if they are not these
const WORDS = ["checkpoint", "kind", "heads", "layers", "vector", "source", "target", "domain", "text"];
const START = { chapter: "overview", kind: null, layer: 0, head: 0, query: null, key: 0, step: 0, sublayer: 0, dimension: 0, heads: null,
  layers: null, checkpoint: null, vector: null, source: null, target: null, domain: null, text: null, ...MEASURES };

export const isInsideAddress = (address = location.hash) => address.startsWith(PREFIX);

export class State {
  constructor(values = {}) {
    this.values = { ...START, ...values };
    this.listeners = new Set();
  }

  // Changes some values. Those that listen get the values and the set of the names that have changed.
  set(changes) {
    const names = new Set(Object.keys(changes).filter((name) => this.values[name] !== changes[name]));
    if (!names.size) return;
    this.values = { ...this.values, ...changes };
    for (const listener of [...this.listeners]) listener(this.values, names);
  }

  // Calls the listener after each change, until the returned function is called.
  subscribe(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  // The part of an address that shows these values, such as #inside/heads?kind=cross&layer=2&text=It+rains.
  address(changes = {}) {
    const values = { ...this.values, ...changes };
    const shown = new URLSearchParams();
    for (const name of COUNTED) if (values[name] !== START[name]) shown.set(name, values[name] + 1);
    for (const [name, usual] of Object.entries(MEASURES)) if (values[name] !== usual) shown.set(name, values[name]);
    for (const name of WORDS) if (values[name]) shown.set(name, values[name]);
    return `${PREFIX}${values.chapter}?${shown}`;
  }
}

// The values in an address. Those that it does not have are as at the start.
export function readAddress(address) {
  const [chapter, query = ""] = address.slice(PREFIX.length).split(/\?(.*)/s);
  const given = new URLSearchParams(query);
  const values = { ...START, chapter: chapter || START.chapter };
  for (const name of COUNTED) if (parseInt(given.get(name), 10)) values[name] = Math.max(0, parseInt(given.get(name), 10) - 1);
  for (const [name, usual] of Object.entries(MEASURES)) values[name] = parseFloat(given.get(name)) || usual;
  for (const name of WORDS) values[name] = given.get(name);
  return values;
}
