// A button that goes through steps one after the other. Nothing moves by itself before it is pressed.
import { make } from "../../../elements.js";

const STEP_MS = 1200;

// Returns the button, or null if the user has asked for less motion.
//   read(): the current step; last: the last one; write(step).
export function player({ read, last, write }) {
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) return null;
  const button = make("button", { type: "button", "data-key": "play" }, "▶ Play");
  let timer = null;

  function stop() {
    clearInterval(timer);
    timer = null;
    button.textContent = "▶ Play";
  }

  function advance() {
    if (!button.isConnected || read() >= last) stop(); // the chapter has been left, or all has been shown
    else write(read() + 1);
  }

  button.addEventListener("click", () => {
    if (timer) return stop();
    if (read() >= last) write(0);
    timer = setInterval(advance, STEP_MS);
    button.textContent = "❚❚ Pause";
    return null;
  });
  return button;
}
