// Requests to the server. Problems are shown at the top of the page, and the form for the API key if the server needs one.
import { at } from "./elements.js";
import { read, write } from "./storage.js";

const HOME = new URL("..", import.meta.url); // includes the root path of a proxy
const RETRY_MS = 3000;
const KEY_NAME = "nmt-api-key"; // in the session storage, which ends with the tab

let key = read(sessionStorage, KEY_NAME);
let newKey = null; // pending promise of another key, with its resolve function

// Shows a problem, or hides it if the message is "". The button calls `tryAgain`; there is none without it.
export function showProblem(message, tryAgain = null) {
  at("reason").textContent = message;
  at("again").onclick = tryAgain;
  at("again").hidden = !tryAgain;
  at("problem").hidden = !message;
}

// Shows the form and waits until the user has entered another key than the refused one. All requests share one promise.
function waitForKey(reason, used) {
  if (key !== used) return Promise.resolve();
  at("key-reason").textContent = `${reason}. The browser keeps the key until this tab is closed.`;
  at("key-form").hidden = false;
  newKey ??= Promise.withResolvers();
  return newKey.promise;
}

at("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const given = at("key").value.trim();
  at("key").value = "";
  if (!/^[!-~]+$/.test(given)) { // a header cannot hold other characters
    at("key-reason").textContent = "An API key has no spaces and no characters outside of ASCII.";
    return;
  }
  key = given;
  write(sessionStorage, KEY_NAME, key);
  at("key-form").hidden = true;
  newKey?.resolve();
  newKey = null;
});

// Waits for a promise, and rejects as soon as the signal aborts.
function orAbort(signal, promise) {
  if (!signal) return promise;
  const aborted = new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
  return Promise.race([promise, aborted]);
}

// Sends a request until the server answers it, with another key if it refuses the key. Throws if it refuses the request.
async function request(path, { headers = {}, signal, ...options } = {}) {
  for (;;) {
    const used = key;
    let response;
    try {
      response = await fetch(new URL(path, HOME), { ...options, signal, headers: { ...headers, ...(used ? { "x-api-key": used } : {}) } });
    } catch (error) {
      if (signal?.aborted) throw error;
      showProblem("The server cannot be reached. Your text is still here. Trying again …");
      await orAbort(signal, new Promise((resolve) => setTimeout(resolve, RETRY_MS)));
      continue;
    }
    if (response.ok) {
      showProblem("");
      return response;
    }
    const found = await response.json().catch(() => ({}));
    const reason = found.error ?? response.statusText;
    if (response.headers.has("www-authenticate")) {
      await orAbort(signal, waitForKey(reason, used));
      continue;
    }
    showProblem(`The server refused the request: ${reason}`);
    throw new Error(reason);
  }
}

const json = (fields, signal) => ({
  method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(fields), signal,
});

export const get = async (path) => (await request(path)).json();
export const post = async (path, fields, signal) => (await request(path, json(fields, signal))).json();
export const postForm = async (path, form, signal) => (await request(path, { method: "POST", body: form, signal })).json();

const field = (line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)];

// Yields the data of server-sent events as they arrive, and calls `onEnd` with the data of the "end" event. Throws on an
// "error" event, or if the "end" event is missing.
export async function* events(path, fields, signal, onEnd = () => {}) {
  const response = await request(path, json(fields, signal));
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let isComplete = false;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const fields = Object.fromEntries(block.split("\n").map(field)); // a part may have U+2028, which ends a line for `$`
      const kind = fields.event;
      const data = JSON.parse(fields.data);
      isComplete ||= kind === "end";
      if (kind === "end") onEnd(data);
      if (kind === "error") throw new Error(data.error);
      if (!kind) yield data;
    }
  }
  if (!isComplete) throw new Error("the connection was lost");
}
