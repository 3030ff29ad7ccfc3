// The output distribution at one position, with a temperature; the probability of the whole output; other outputs.
import { make } from "../../../elements.js";
import { sum } from "../../arrays.js";
import { bars, choices, figure, number, percent, whole } from "../../charts.js";
import { bracket, equation, fraction, row, sub, sup, total, words } from "../../equations.js";
import { pieceLabel, targetOutputs } from "../../tokens.js";

const { d3 } = globalThis; // charts.js loads it

const SHOWN = 12; // pieces of a distribution
const AS_TRAINED = 9; // index of temperature 1
const COPYING = " This model can also copy tokens of the source: its logits are logarithms of the mixed probabilities.";

export default {
  id: "output",
  title: "Output distribution",
  boxes: ["linear", "softmax"],
  kinds: ["decoder"], // the chosen token is one that the decoder predicts
  applies: () => true,

  render({ found, model, live, state }) {
    const power = (index) => sup("e", row(sub("z", index), "/", "T"));
    return make("div", {},
      make("p", {}, "At each position, the decoder's last vector is multiplied by the embeddings of all " +
        `${whole(model.vocabulary_size)} tokens. This gives a number for each token, its logit z. Softmax makes ` +
        "probabilities of the logits. Before that, the logits can be divided by a temperature T: below 1, likely tokens " +
        "become more likely; above 1, all tokens become more alike.",
      model.copying ? COPYING : ""),
      equation("Vaswani et al. 2017, Section 3.4, with T", sub("p", "i"), "=", fraction(power("i"), row(total("j", ""), power("j")))),
      live((now) => positions(found, now, state)),
      temperature(found, live, state),
      live((now) => distribution(found, model, now)),
      make("h3", {}, "The probability of the whole output"),
      live((now) => sentence(found, now, state)),
      make("h3", {}, "Other ways to choose"),
      ...outputs(found));
  },
};

// The index of the temperature that is nearest to the chosen one.
const indexOf = (found, now) => d3.leastIndex(found.temperatures.data, (one) => Math.abs(one - now.temperature));

const positions = (found, now, state) => make("div", { class: "controls" }, choices({
  key: "predicted", label: "Token that is predicted", options: targetOutputs(found), chosen: now.query, isToken: true,
  choose: (query) => state.set({ query }),
}));

// The slider stays while what it changes is drawn again.
function temperature(found, live, state) {
  const { data } = found.temperatures;
  const slider = make("input", { type: "range", id: "output-temperature", min: 0, max: data.length - 1, step: 1 });
  const shown = make("output", { for: "output-temperature" });
  slider.addEventListener("input", () => state.set({ temperature: Number(data[slider.value].toFixed(1)) }));
  const follow = live((now) => {
    const index = indexOf(found, now);
    const chosen = number(data[index], 1);
    slider.value = index;
    slider.setAttribute("aria-valuetext", chosen);
    shown.textContent = chosen;
    return make("span", { hidden: "" });
  });
  return make("div", { class: "stepper slider" }, make("label", { for: "output-temperature" }, "Temperature T"), slider, shown, follow);
}

// The probability of a logit at a position, exact because the sum over the vocabulary is known for each temperature.
const probability = (found, position, logit, index) =>
  Math.exp(logit / found.temperatures.data[index] - found.log_normalizers.at(position, index));

// The best pieces, the label if it is not one of them, and all others together.
function piecesAt(found, position, index) {
  const label = found.target_pieces[position];
  const of = (piece, logit) => ({
    piece, logit, isLabel: piece === label, value: probability(found, position, logit, index),
  });
  const pieces = found.top_pieces[position].slice(0, SHOWN).map((piece, i) => of(piece, found.top_logits.at(position, i)));
  if (!pieces.some(({ isLabel }) => isLabel)) pieces.push(of(label, found.chosen_logits.data[position]));
  return { pieces, rest: Math.max(0, 1 - sum(pieces.map(({ value }) => value))) };
}

function distribution(found, model, now) {
  const index = indexOf(found, now);
  const { pieces, rest } = piecesAt(found, now.query, index);
  const others = model.vocabulary_size - pieces.length;
  const label = pieces.findIndex(({ isLabel }) => isLabel);
  const chosen = pieces[label];
  const heat = number(found.temperatures.data[index], 1);
  const items = pieces.map(({ piece, logit, value }) => (
    { label: pieceLabel(piece), value, text: `${percent(value)} · z = ${number(logit, 2)}` }));
  if (others > 0) items.push({ label: `${whole(others)} others`, value: rest, text: percent(rest), isFaint: true });
  const normalizer = found.log_normalizers.at(now.query, index);
  return make("div", {},
    make("p", {}, "The token of the output at this position is ", make("bdi", { class: "token-name" }, pieceLabel(chosen.piece)),
      `. At temperature ${heat}, its probability is ${percent(chosen.value)}.`),
    figure({ id: "distribution", caption: `Probabilities after ${now.queries[now.query]}, at temperature ${heat}` }, bars({
      key: "distribution", limit: 1, items, chosen: label,
      describe: ({ label: name, value }, i) => (pieces[i]
        ? `${name}: e to the power of ${number(pieces[i].logit)} ÷ ${heat} − ${number(normalizer)} = ${number(value)}`
        : `All other tokens together: ${number(value)}`),
    })));
}

// The logarithm of the probability of the output's token at a position, at temperature 1.
const logarithm = (found, position) => found.chosen_logits.data[position] - found.log_normalizers.at(position, AS_TRAINED);

// The probability of each token of the output, and the perplexity.
function sentence(found, now, state) {
  const labels = targetOutputs(found);
  const prompt = found.prompt_tokens ?? 0;
  const logarithms = labels.map((_, position) => logarithm(found, position));
  const all = sum(logarithms);
  const count = labels.length;
  const perplexity = Math.exp(-all / count);
  return make("div", {},
    make("p", {}, "The probability of the output is the product of the probabilities of its tokens at temperature 1. The " +
      `perplexity is 1 divided by their geometric mean: this model is as unsure as if it chose among ${number(perplexity)} ` +
      "tokens of equal probability at each position.",
    prompt ? ` The first ${whole(prompt)} tokens, which are pale, are those of the prompt.` : ""),
    equation("", words("perplexity"), "=",
      words("exp"), bracket("−", fraction("1", whole(count)), total("t", ""), words("log"), sub("p", "t")), "=",
      words("exp"), bracket(fraction(number(-all), whole(count))), "=", number(perplexity)),
    figure({ id: "labels", caption: "The probability of each token of the output" }, bars({
      key: "labels", limit: 1, chosen: now.query, choose: (query) => state.set({ query }),
      items: labels.map((label, i) => ({
        label, value: Math.exp(logarithms[i]), text: percent(Math.exp(logarithms[i])), isFaint: i < prompt,
      })),
      describe: ({ label, value }, i) => `${label}: probability ${number(value)}, logarithm ${number(logarithms[i])}`,
    })));
}

// What several ways to choose the tokens lead to.
function outputs(found) {
  const rows = [["Greedy search", found.greedy_output], ...found.sampled_outputs.map((text, i) => [`Sample ${i + 1}`, text])];
  if (found.beam_output !== undefined) rows.unshift(["Beam search", found.beam_output]);
  const searches = found.beam_output === undefined ? "" : " Beam search follows several outputs at once and takes the best.";
  return [
    make("p", {}, `Greedy search takes the most probable token at each position.${searches} Sampling draws each token at ` +
      "random with its probability, here at temperature 1."),
    make("dl", { class: "outputs", id: "outputs" }, ...rows.map(([name, text]) => make("div", {},
      make("dt", {}, name), make("dd", { dir: "auto" }, text || "⟨empty⟩")))),
  ];
}
