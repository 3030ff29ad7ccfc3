// Beam search: the tree of its candidates, which grows step by step, and the hypotheses that it finishes.
import { make } from "../../../elements.js";
import { drawTree } from "../../../tree.js";
import { figure, number, percent, thousandths, whole } from "../../charts.js";
import { scrolling } from "../../drawing/scrolling.js";
import { bracket, equation, fraction, row, sup, words } from "../../equations.js";
import { pieceLabel } from "../../tokens.js";
import { finishedUntil, lastStep, lengthPenalty, OUTCOMES, resultOf, searchSteps } from "./candidates.js";
import { layoutOf, searchTree } from "./search-tree.js";

const PLAY_MS = 900; // of a step
const AHEAD = 60; // pixels that stay visible behind the newest column

export default {
  id: "search",
  title: "The search",
  applies: (model) => model.encoder_layers > 0,

  render({ found, model, live, state }) {
    const steps = searchSteps(found);
    const result = resultOf(found, steps);
    const layout = layoutOf(steps);
    const stepOf = (now) => Math.min(now.step, steps.length - 1);
    return make("div", {},
      ...explanation(found, result),
      player(steps.length, stepOf, live, state),
      live((now) => tree(layout, stepOf(now), result)),
      model.task === "parsing" ? live((now) => growingTree(steps[stepOf(now)][0])) : "",
      live((now) => candidates(steps[stepOf(now)], stepOf(now), result)),
      live((now) => hypotheses(found, finishedUntil(steps, stepOf(now)), result)));
  },
};

// What the search does, and the score by which it chooses.
function explanation({ search: { beam_size: beams, length_penalty: alpha } }, result) {
  const legend = " Blue is the way to the output. Pale candidates are dropped, or lead only to such; rounded ones are finished.";
  if (beams === 1) {
    return [make("p", {}, "This model searches with one beam, which is greedy search: at each step, the token with the highest " +
      "probability is added, until the token is ⟨end⟩. Blue is the way to the output.")];
  }
  const length = row("|", "y", "|");
  const score = [words("score"), bracket("y"), "=", fraction(row(words("log"), "P", bracket("y", "|", "x")),
    sup(bracket(fraction(row("5", "+", length), "6")), number(alpha, 1)))];
  if (result) {
    score.push("=", fraction(thousandths(result.sum), number(lengthPenalty(result.step + 1, alpha))), "=", thousandths(result.score));
  }
  return [
    make("p", {}, `At each step, each of the ${whole(beams)} beams is extended by every token. Of the ${whole(2 * beams)} ` +
      `most probable candidates, those that end with ⟨end⟩ are finished, and the ${whole(beams)} best others continue. The ` +
      "output is the finished candidate with the best score: its log-probability divided by a length penalty, because each " +
      "token makes the probability smaller. The search ends when no beam can get a better score than the best finished candidate, " +
      "even if all its next tokens had the probability 1. So it can take more steps than the output has tokens." + legend),
    equation("Vaswani et al. 2017, Section 6.1; Wu et al. 2016, Eq. 14", ...score),
  ];
}

// A button and a slider for the step.
function player(count, stepOf, live, state) {
  const slider = make("input", { type: "range", id: "search-step", min: 1, max: count, step: 1 });
  const play = make("button", { type: "button", class: "main" }, "Play");
  const shown = make("output", { for: "search-step" });
  let timer = null;
  const stop = () => {
    clearInterval(timer);
    timer = null;
    play.textContent = "Play";
  };
  const next = () => {
    const step = Number(slider.value);
    if (!slider.isConnected || step >= count) stop();
    else state.set({ step }); // the slider counts from 1
  };
  play.addEventListener("click", () => {
    if (timer) return stop();
    if (Number(slider.value) >= count) state.set({ step: 0 });
    timer = setInterval(next, PLAY_MS);
    play.textContent = "Pause";
    return next();
  });
  slider.addEventListener("input", () => {
    stop();
    state.set({ step: Number(slider.value) - 1 });
  });
  const follow = live((now) => {
    slider.value = stepOf(now) + 1;
    shown.textContent = `${stepOf(now) + 1} of ${count}`;
    return make("span", { hidden: "" });
  });
  const label = make("label", { for: "search-step" }, "Step of the search");
  return make("div", { class: "stepper slider" }, play, label, slider, shown, follow);
}

function tree(layout, step, result) {
  const svg = searchTree(layout, step, result);
  requestAnimationFrame(() => reveal(svg, layout.columns[step + 1][0]));
  return figure({ id: "search-tree", caption: `The candidates of the search after step ${step + 1}` }, svg);
}

// Scrolls the drawing sideways to the newest column, if it cannot be seen.
function reveal(svg, { x, width }) {
  const box = svg.closest(".scroll");
  if (!box || (x >= box.scrollLeft && x + width <= box.scrollLeft + box.clientWidth)) return;
  box.scrollLeft = x + width + AHEAD - box.clientWidth;
}

// The tree that the best candidate of a parser describes, its open brackets closed.
function growingTree({ text }) {
  const count = (sign) => text.split(sign).length - 1;
  const closed = text + ")".repeat(Math.max(0, count("(") - count(")")));
  return make("div", { id: "growing-tree" },
    make("h3", {}, "The tree of the best candidate"),
    make("p", {}, "Its actions open a bracket, read the next word with its tag, or close a bracket."), drawTree(closed));
}

function candidates(ofStep, step, result) {
  const line = (candidate) => make("tr", { class: candidate === result ? "chosen" : null },
    make("td", { dir: "auto" }, pieceLabel(candidate.piece)),
    cell(percent(Math.exp(lastStep(candidate)))), cell(thousandths(candidate.sum)),
    make("td", {}, candidate === result ? "finished: the output" : OUTCOMES[candidate.outcome]),
    make("td", { dir: "auto", class: "text" }, candidate.text));
  return make("div", {}, make("h3", {}, `The candidates of step ${step + 1}`),
    table("candidates", "Candidates", ["next token", "probability", "log P", "outcome", "text so far"], [1, 2],
      ofStep.map(line)));
}

// The finished hypotheses, the best first.
function hypotheses(found, finished, result) {
  if (found.search.beam_size === 1 || !finished.length) return make("div");
  const penalty = ({ step }) => lengthPenalty(step + 1, found.search.length_penalty);
  const line = (candidate) => make("tr", { class: candidate === result ? "chosen" : null },
    cell(thousandths(candidate.score)), cell(thousandths(candidate.sum)), cell(whole(candidate.step + 1)), cell(number(penalty(candidate))),
    make("td", { dir: "auto", class: "text" }, candidate.text));
  return make("div", {}, make("h3", {}, "Finished so far"),
    table("finished", "Finished candidates", ["score", "log P", "length", "penalty", "text"], [0, 1, 2, 3], finished.map(line)));
}

const cell = (text) => make("td", { class: "number" }, text);

function table(id, label, names, numbers, rows) {
  const head = names.map((name, i) => make("th", { scope: "col", class: numbers.includes(i) ? "number" : null }, name));
  return scrolling(id, label, make("table", { id, class: "numbers search-table" },
    make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows)));
}
