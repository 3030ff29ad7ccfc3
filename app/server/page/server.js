// Talks with the server, and says on the page when it cannot be reached, refuses, or wants a key.
import { read, write } from "./storage.js";

const HOME = new URL("..", import.meta.url); // whatever path a proxy shows the server below
const RETRY_MS = 3000;
const KEY = "nmt-api-key"; // kept until the browser is closed

const at = (id) => document.getElementById(id);
let key = read(sessionStorage, KEY);
let asking = null; // for another key: what is waited for, and what ends the wait

export function say(message) {
  at("problem").textContent = message;
  at("problem").hidden = !message;
}

// Waits for a key other than the one that did not do; whoever else waits, waits for the same.
function otherKey(reason, used) {
  if (key !== used) return Promise.resolve();
  at("key-reason").textContent = `${reason}. It is kept until this tab is closed.`;
  at("key-form").hidden = false;
  asking ??= Promise.withResolvers();
  return asking.promise;
}

at("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const given = at("key").value.trim();
  at("key").value = "";
  if (!/^[!-~]+$/.test(given)) { // which no header could hold
    at("key-reason").textContent = "A key has no spaces, and no letters but a to z.";
    return;
  }
  key = given;
  write(sessionStorage, KEY, key);
  at("key-form").hidden = true;
  asking?.resolve();
  asking = null;
});

// Either what is waited for, or an error as soon as nobody wants it any more.
function unless(signal, wanted) {
  if (!signal) return wanted;
  const aborted = new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
  return Promise.race([wanted, aborted]);
}

async function answered(path, { headers = {}, signal, ...how } = {}) {
  for (;;) {
    const used = key;
    let response;
    try {
      response = await fetch(new URL(path, HOME), { ...how, signal, headers: { ...headers, ...(used ? { "x-api-key": used } : {}) } });
    } catch (error) {
      if (signal?.aborted) throw error;
      say("The server cannot be reached. Your text is still here; trying again …");
      await unless(signal, new Promise((resolve) => setTimeout(resolve, RETRY_MS)));
      continue;
    }
    if (response.ok) {
      say("");
      return response;
    }
    const found = await response.json().catch(() => ({}));
    const reason = found.error ?? response.statusText;
    if (response.headers.has("www-authenticate")) {
      await unless(signal, otherKey(reason, used));
      continue;
    }
    say(`The server refused: ${reason}`);
    throw new Error(reason);
  }
}

const json = (fields, signal) => ({
  method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(fields), signal,
});

export const get = async (path) => (await answered(path)).json();
export const post = async (path, fields, signal) => (await answered(path, json(fields, signal))).json();
export const postForm = async (path, form, signal) => (await answered(path, { method: "POST", body: form, signal })).json();

// The server-sent events of an answer, each as soon as it is there; an error if they break off.
export async function* events(path, fields, signal) {
  const response = await answered(path, json(fields, signal));
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let isWhole = false;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const [, kind] = block.match(/^event: (.*)$/m) ?? [];
      const data = JSON.parse(block.match(/^data: (.*)$/m)[1]);
      isWhole ||= kind === "end";
      if (kind === "error") throw new Error(data.error);
      if (!kind) yield data;
    }
  }
  if (!isWhole) throw new Error("the connection broke off");
}
