// Scaled dot-product attention for one query, one step at a time.
import { make } from "../../../elements.js";
import { choices, controls, number } from "../../charts.js";
import { bracket, equation, fraction, root, row, sub, sup, words } from "../../equations.js";
import { targetOutputs } from "../../tokens.js";
import { STEPS } from "./steps.js";
import { table } from "./table.js";

export default {
  id: "attention",
  title: "Scaled dot-product attention",
  here: ({ kind }) => [`${kind}-attention`],
  applies: () => true,

  render({ found, model, live, state, details, ...others }) {
    const context = { found, model, state, ...others };
    return make("div", {},
      make("p", {}, "Each token has a query, a key and a value, which are vectors. The product of a query and a key says how much the " +
        "one token attends to the other. The token then receives the sum of all values, each times its share of the attention."),
      equation("Vaswani et al. 2017, Eq. 1", words("Attention"), bracket("Q", ",", "K", ",", "V"), "=", words("softmax"),
        bracket(fraction(row("Q", sup("K", "T")), root(sub("d", "k")))), "V"),
      live((now) => controls(context, now, ["kind", "layer", "head", "query", "key"])),
      live((now) => stepper(now, state)),
      live(async (now) => step(found, now, await details())));
  },
};

const last = STEPS.length - 1;
const stepOf = (now) => Math.min(now.step, last);

function stepper(now, state) {
  const chosen = stepOf(now);
  const name = chosen < last ? "Next step" : "First step";
  const next = make("button", { type: "button", class: "main", "data-key": "next-step" }, name);
  next.addEventListener("click", () => state.set({ step: chosen < last ? chosen + 1 : 0 }));
  const options = STEPS.map(({ name }, i) => `${i + 1}. ${name}`);
  const steps = choices({ key: "step", label: "Step", options, chosen, choose: (i) => state.set({ step: i }) });
  return make("div", { class: "stepper", id: "step" }, steps, next);
}

// The figure of the step, and the table of what has been computed so far.
function step(found, now, details) {
  const chosen = stepOf(now);
  const numbers = numbersOf(now, details);
  const predicts = now.kind === "encoder" ? "" : ` This position predicts ${targetOutputs(found)[now.query]}.`;
  const ofQuery = `The query is that of ${now.queries[now.query]}.${predicts}`;
  return make("div", {},
    make("h3", {}, `${chosen + 1}. ${STEPS[chosen].name}`),
    ...STEPS[chosen].show(now, numbers),
    ...(chosen ? [make("h3", {}, "All keys of this query"), make("p", {}, ofQuery), table(now, numbers, chosen)] : []));
}

// The numbers of the chosen query.
function numbersOf(now, details) {
  const width = details.query.shape[1];
  return {
    width, root: Math.sqrt(width), query: details.query.row(now.query), key: details.key.row(now.key),
    value: (key) => details.value.row(key), scores: details.scores.row(now.query), weights: details.weights.row(now.query),
    mixed: details.mixed.row(now.query), allScores: details.scores.data,
  };
}
