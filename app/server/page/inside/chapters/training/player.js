// The slider over the checkpoints, and the button that shows them one after another.
import { make } from "../../../elements.js";

const PAUSE_MS = 900; // for each checkpoint, after its numbers are there

// The index of the chosen checkpoint, whose step is in the state. Without one, that with the largest learning rate, where a
// training step changes most.
export function chosen({ checkpoints, learning_rates: rates }, now) {
  const index = now.checkpoint === null ? -1 : checkpoints.indexOf(Number(now.checkpoint));
  return index < 0 ? rates.indexOf(Math.max(...rates)) : index;
}

export function player({ state, now, live, history, checkpoint }) {
  const slider = make("input", { type: "range", min: 0, max: 0, step: 1, value: 0 });
  const play = make("button", { type: "button", disabled: "" }, "Play");
  let isPlaying = false;

  function playing(value) {
    isPlaying = value;
    play.textContent = value ? "Pause" : "Play";
  }

  const choose = ({ checkpoints }, index) => state.set({ checkpoint: String(checkpoints[index]) });

  async function run() {
    const known = await history();
    const last = known.checkpoints.length - 1;
    if (chosen(known, now()) === last) choose(known, 0);
    try {
      while (isPlaying && play.isConnected) {
        await checkpoint(known.checkpoints[chosen(known, now())]);
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
        if (!isPlaying || !play.isConnected || chosen(known, now()) === last) break;
        choose(known, chosen(known, now()) + 1);
      }
    } catch { /* the part that shows the numbers says what failed */ }
    playing(false);
  }

  // Only the number is drawn again: a slider that is replaced loses the pointer.
  async function place(values) {
    const known = await history();
    const step = `step ${known.checkpoints[chosen(known, values)]}`;
    slider.max = known.checkpoints.length - 1;
    slider.value = chosen(known, values);
    slider.setAttribute("aria-valuetext", step);
    play.disabled = known.checkpoints.length < 2;
    return make("span", { id: "checkpoint" }, step);
  }

  slider.addEventListener("input", async () => {
    playing(false);
    choose(await history(), Number(slider.value));
  });
  play.addEventListener("click", () => {
    playing(!isPlaying);
    if (isPlaying) run();
  });
  return make("div", { class: "player" }, play, make("label", {}, "Checkpoint ", slider), live(place));
}
