// Talks with the server, and says on the page when it cannot be reached.
const problem = document.getElementById("problem");
const RETRY_MS = 3000;

function say(message) {
  problem.textContent = message;
  problem.hidden = !message;
}

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
    say(`The server refused: ${found.error ?? response.statusText}`);
    throw new Error(found.error ?? response.statusText);
  }
}

export const get = (path) => answered(() => fetch(path));

export function post(path, fields, signal) {
  const headers = { "content-type": "application/json" };
  return answered(() => fetch(path, { method: "POST", headers, body: JSON.stringify(fields), signal }), signal);
}

export function postForm(path, form) {
  return answered(() => fetch(path, { method: "POST", body: form }));
}
