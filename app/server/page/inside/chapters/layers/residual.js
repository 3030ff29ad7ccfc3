// Residual connections and layer normalisation: what one sublayer adds to one token, and how the sum is normalised.
import { make } from "../../../elements.js";
import { norm, sum } from "../../arrays.js";
import { figure, lineChart, number, vectors } from "../../charts.js";
import { scrolling } from "../../drawing/scrolling.js";
import { bracket, equation, fraction, root, row, sup, words } from "../../equations.js";
import { layerName, placeControls, roomOf, sublayerNames, sublayerOf } from "./place.js";

const LABELS = 180; // pixels of what is written beside the vectors
const SMALLEST = 1e-6; // a smaller mean comes from rounding
const HEIGHT = 30; // of a vector
const WIDEST = 12; // pixels of a number

export default {
  id: "residual",
  title: "Residual connection and layer normalisation",
  boxes: ["encoder-add-1", "encoder-add-2", "decoder-add-1", "decoder-add-2", "decoder-add-3"],
  kinds: ["encoder", "decoder"], // the stack
  applies: () => true,

  render(context) {
    const { found, model, live, details } = context;
    return make("div", {},
      make("p", {}, "What a sublayer computes does not replace the vector of a token: it is added to it, so that the vector " +
        `has a direct path through all layers. Layer normalisation gives the ${model.model_width} numbers of a vector mean 0 ` +
        "and standard deviation 1, then multiplies each by a learned γ and adds a learned β. In its equation, ⊙ multiplies number by " +
        "number, and ε is a very small number that prevents a division by 0."),
      ...variants(model),
      live((now) => placeControls(context, now, ["kind", "layer", "sublayer", "query"])),
      live(async (now) => sublayer(found, model, now, await details())),
      make("h3", {}, "Through the whole stack"),
      live((now) => lengths(found, model, now)));
  },
};


// The equation of this model, and what the paper has.
function variants(model) {
  const post = () => [words("LayerNorm"), bracket("x", "+", words("Sublayer"), bracket("x"))];
  const pre = () => ["x", "+", words("Sublayer"), bracket(words("LayerNorm"), bracket("x"))];
  const isPre = model.normalization === "pre";
  const said = isPre
    ? "This model normalises the input of each sublayer (pre-norm, Xiong et al. 2020), and the output of the last layer once " +
      "more, which makes deep stacks easier to train. The paper normalises the sum (post-norm):"
    : "This model normalises the sum, as the paper does (post-norm). Many later models normalise the input of each sublayer " +
      "instead (pre-norm), which makes deep stacks easier to train:";
  const [own, other] = isPre ? [pre, post] : [post, pre];
  const places = isPre ? ["This model", "Vaswani et al. 2017, Section 3.1"] : ["Vaswani et al. 2017, Section 3.1", "Xiong et al. 2020"];
  return [equation(places[0], "x′", "=", ...own()), make("p", {}, said), equation(places[1], "x′", "=", ...other())];
}

const mean = (values) => sum(values) / values.length;
const deviation = (values) => norm(values.map((value) => value - mean(values))) / Math.sqrt(values.length);
const plus = (one, other) => one.map((value, i) => value + other[i]);

// The vectors of one sublayer and token. The normalisation reads the input of the sublayer, or the sum.
function numbersOf(model, details, place) {
  const isPre = model.normalization === "pre";
  const [before, added, normalized] = ["before", "added", "normalized"].map((name) => details[name].row(...place));
  const total = plus(before, added);
  const read = isPre ? before : total;
  const centre = mean(read);
  const spread = deviation(read);
  return {
    isPre, before, added, total, normalized, read, centre, spread, standard: read.map((value) => (value - centre) / spread),
    gamma: details.gamma.row(place[0]), beta: details.beta.row(place[0]), names: namesOf(isPre),
  };
}

const namesOf = (isPre) => (isPre
  ? { added: "Sublayer(LayerNorm(x))", total: "x + Sublayer(LayerNorm(x))", read: "x", normalized: "LayerNorm(x)" }
  : { added: "Sublayer(x)", total: "x + Sublayer(x)", read: "sum", normalized: "LayerNorm(x + Sublayer(x))" });

// The two steps in the order in which this model takes them, and what they do to the vectors.
function sublayer(found, model, now, details) {
  const chosen = sublayerOf(found, now);
  const numbers = numbersOf(model, details, [chosen, now.query]);
  const of = `${now.queries[now.query]}, ${sublayerNames(found, now.kind)[chosen].toLowerCase()} of ${layerName(now)}`;
  const steps = [() => normalisation(numbers, of), () => addition(numbers, of)];
  if (!numbers.isPre) steps.reverse();
  return make("div", {}, ...steps.flatMap((step) => step()), statistics(numbers));
}

// Draws vectors below each other, as wide as there is room.
function strips(key, lines, options) {
  const width = lines[0].values.length;
  const cell = Math.max(2, Math.min(WIDEST, Math.floor((roomOf() - LABELS) / width)));
  return vectors({ key, lines, cell: [cell, HEIGHT], gap: 6, ...options });
}

function addition({ before, added, total }, of) {
  const lines = [["x", before], ["Sublayer(…)", added], ["sum", total]].map(([label, values]) => ({ label, values }));
  const limit = Math.max(...lines.flatMap(({ values }) => [...values].map(Math.abs)));
  const cosine = sum(before.map((value, i) => value * added[i])) / (norm(before) * norm(added));
  return [
    make("h3", {}, "The sum"),
    make("p", {}, `The vector x of the token has length ${number(norm(before))}. The sublayer adds a vector of length ` +
      `${number(norm(added))}; the cosine of the angle between the two is ${number(cosine)}. The sum has length ` +
      `${number(norm(total))}.`),
    figure({ id: "sum", caption: `What is added to the vector of ${of}` }, strips("sum", lines, {
      limit,
      describe: (line, i, value) => (line < 2 ? `${lines[line].label}, number ${i + 1}: ${number(value)}`
        : `number ${i + 1}: ${number(before[i])} + ${number(added[i])} = ${number(value)}`),
    })),
  ];
}

function normalisation({ isPre, read, centre, spread, standard, gamma, beta, normalized, names }, of) {
  const lines = [[names.read, read], ["(x − μ) ÷ σ", standard], ["γ", gamma], ["β", beta], ["LayerNorm", normalized]]
    .map(([label, values]) => ({ label, values }));
  const about = [
    (i) => `${names.read}, number ${i + 1}: ${number(read[i])}`,
    (i) => `number ${i + 1}: (${number(read[i])} − ${number(centre)}) ÷ ${number(spread)} = ${number(standard[i])}`,
    (i) => `γ, number ${i + 1}: ${number(gamma[i])}`,
    (i) => `β, number ${i + 1}: ${number(beta[i])}`,
    (i) => `number ${i + 1}: ${number(gamma[i])} × ${number(standard[i])} + ${number(beta[i])} = ${number(normalized[i])}`,
  ];
  return [
    make("h3", {}, "The normalisation"),
    make("p", {}, `The mean μ of the ${isPre ? "vector x" : "sum"} is ${number(centre)}, the standard deviation σ is ` +
      `${number(spread)}. ${isPre ? "The sublayer reads the result." : "The result is the vector of the token from here on."}`),
    equation("Ba et al. 2016", words("LayerNorm"), bracket("x"), "=", "γ", "⊙",
      fraction(row("x", "−", "μ"), root(sup("σ", "2"), "+", "ε")), "+", "β"),
    figure({ id: "normalisation", caption: `Layer normalisation of the vector of ${of}` },
      strips("normalisation", lines, { describe: (line, i) => about[line](i) })),
  ];
}

// The mean, the standard deviation and the length of all vectors.
function statistics({ isPre, before, added, total, standard, normalized, names }) {
  const scaled = ["normalised, before γ and β", standard];
  const result = [names.normalized, normalized];
  const rows = isPre
    ? [["x", before], scaled, result, [names.added, added], [names.total, total]]
    : [["x", before], [names.added, added], [names.total, total], scaled, result];
  const heads = ["vector", "mean", "standard deviation", "length"].map((name) => make("th", { scope: "col" }, name));
  const line = ([name, values]) => make("tr", {}, make("th", { scope: "row" }, name),
    ...[mean(values), deviation(values), norm(values)].map((value) =>
      make("td", { class: "number" }, number(Math.abs(value) < SMALLEST ? 0 : value))));
  return scrolling("statistics", "The vectors in numbers", make("table", { class: "numbers", id: "statistics" },
    make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...rows.map(line))));
}

// The length of the token's vector after each sublayer of the stack, and of what each of them adds.
function lengths(found, model, now) {
  const norms = found[`${now.kind}_norms`];
  const [layers, sublayers] = norms.shape;
  const places = Array.from({ length: layers * sublayers }, (_, i) => i + 1);
  const of = (which) => places.map((_, i) => norms.at(Math.floor(i / sublayers), i % sublayers, which, now.query));
  const series = [{ name: "the vector", values: of(2) }, { name: "what is added", values: of(1) }];
  const names = sublayerNames(found, now.kind);
  const token = now.queries[now.query];
  const range = series[0].values.map((value) => number(value));
  const said = model.normalization === "pre"
    ? `Here nothing brings the sum back to a fixed length. The vector of ${token} enters the ${now.kind} with length ` +
      `${number(norms.at(0, 0, 0, now.query))} and leaves its last layer with length ${range.at(-1)}.`
    : "Each normalisation brings the vector back to a length that γ and β decide; with γ = 1 and β = 0, it would always be " +
      `√${model.model_width} = ${number(Math.sqrt(model.model_width))}. The vector of ${token} leaves the last layer with ` +
      `length ${range.at(-1)}.`;
  return make("div", {},
    make("p", {}, said),
    figure({ id: "lengths", caption: `Lengths of vectors of ${token} in the ${now.kind}, sublayer by sublayer` }, lineChart({
      key: "lengths", series, places, across: `sublayer, ${sublayers} in each layer`, up: "length",
      describe: ({ name, values }, i) =>
        `Layer ${Math.floor(i / sublayers) + 1}, ${names[i % sublayers].toLowerCase()}: length of ${name}: ${number(values[i])}`,
    })));
}
