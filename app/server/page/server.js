// Talks with the server, and says on the page when it cannot be reached.
const problem = document.getElementById("problem");
const RETRY_MS = 3000;

function say(message) {
  problem.textContent = message;
  problem.hidden = !message;
}

const KEY = "nmt-api-key"; // kept until the browser is closed

const headers = () => (sessionStorage.getItem(KEY) ? { "x-api-key": sessionStorage.getItem(KEY) } : {});

async function answered(send, signal) {
  for (;;) {
    let response;
    try {
      response = await send();
    } catch (error) {
      if (signal?.aborted) throw error;
      say("The server cannot be reached. Your text is still here; trying again …");
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      if (signal?.aborted) throw signal.reason;
      continue;
    }
    if (response.ok) {
      say("");
      return response.json();
    }
    const found = await response.json().catch(() => ({}));
    const key = response.status === 403 && window.prompt(`${found.error}. Your key:`);
    if (key) {
      sessionStorage.setItem(KEY, key.trim());
      continue;
    }
    say(`The server refused: ${found.error ?? response.statusText}`);
    throw new Error(found.error ?? response.statusText);
  }
}

export const get = (path) => answered(() => fetch(path, { headers: headers() }));

export function post(path, fields, signal) {
  const body = JSON.stringify(fields);
  const type = { "content-type": "application/json" };
  return answered(() => fetch(path, { method: "POST", headers: { ...type, ...headers() }, body, signal }), signal);
}

export function postForm(path, form) {
  return answered(() => fetch(path, { method: "POST", headers: headers(), body: form }));
}
