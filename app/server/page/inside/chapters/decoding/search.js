// Beam search: the candidates of each step.
import { make } from "../../../elements.js";
import { choices, percent } from "../../charts.js";
import { bracket, equation, fraction, row, sup, words } from "../../equations.js";
import { pieceLabel } from "../../tokens.js";

const HEADINGS = ["Prefix", "Next token", "Probability", "Outcome"];

export default {
  id: "search",
  title: "The search",
  boxes: [],
  applies: (model) => model.encoder_layers > 0,

  render({ found, live, state }) {
    const beams = Math.max(1, found.candidate_texts[0].length / 2);
    return make("div", {},
      make("p", {}, `At each step, every beam is extended by every token. Of the ${2 * beams} best candidates, those that end are ` +
        `finished, and the ${beams} best others continue. The result is the hypothesis with the best score, which is its ` +
        "log-probability divided by a length penalty."),
      equation("Section 6.1, Wu et al. 2016", words("score"), bracket("y"), "=", words("log"), "P", bracket("y", "|", "x"), "/",
        sup(bracket(fraction(row("5", "+", "|", "y", "|"), "6")), "α")),
      live((now) => step(found, now, beams, state)));
  },
};

function step(found, now, beams, state) {
  const steps = found.candidate_texts.length;
  const chosen = Math.min(now.step, steps - 1);
  const head = make("tr", {}, ...HEADINGS.map((name) => make("th", { scope: "col" }, name)));
  const options = Array.from({ length: steps }, (_, i) => String(i + 1));
  return make("div", {},
    make("div", { class: "controls" }, choices({ key: "step", label: "Step", options, chosen, choose: (i) => state.set({ step: i }) })),
    make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Candidates", "data-key": "candidates" },
      make("table", { id: "candidates" }, make("thead", {}, head), make("tbody", {}, ...rows(found, chosen, beams)))));
}

function rows(found, step, beams) {
  let continued = 0;
  return found.candidate_texts[step].map((text, c) => {
    const piece = found.candidate_pieces[step][c];
    const sum = found.candidate_log_probabilities.at(step, c);
    if (!Number.isFinite(sum)) return "";
    const ends = piece === "</s>";
    const continues = !ends && continued < beams;
    continued += continues;
    const outcome = ends ? "finished" : continues ? "continues" : "dropped";
    return make("tr", {}, make("td", { dir: "auto" }, text), make("td", { dir: "auto" }, pieceLabel(piece)),
      make("td", { class: "number" }, percent(Math.exp(sum))), make("td", {}, outcome));
  });
}
