// Why self-attention: Table 1 of the paper with the numbers of this model, the paths between two tokens, and the time of layers.
import { make } from "../../elements.js";
import { bars, choices, figure, lineChart, number, whole } from "../charts.js";
import { scrolling } from "../drawing/scrolling.js";
import { bracket, row, sub, sup, words } from "../equations.js";
import { paths } from "./layers/paths.js";

const LENGTHS = [8, 16, 32, 64, 128, 256, 512, 1024]; // that are measured
const SHORTEST = 8;
const LONGEST = 1024;
const KERNEL = 3; // k
const NEIGHBOURS = 16; // r

// The rows of Table 1: the formulas, and what they are for n tokens and vectors of d numbers.
const LAYERS = [
  {
    name: "Self-attention", formulas: [[sup("n", "2"), "·", "d"], ["1"], ["1"]],
    values: (n, d) => [n * n * d, 1, 1],
  },
  {
    name: "Recurrent", formulas: [["n", "·", sup("d", "2")], ["n"], ["n"]],
    values: (n, d) => [n * d * d, n, n],
  },
  {
    name: "Convolutional", formulas: [["k", "·", "n", "·", sup("d", "2")], ["1"], [sub(words("log"), "k"), bracket("n")]],
    values: (n, d) => [KERNEL * n * d * d, 1, Math.ceil(Math.log(n) / Math.log(KERNEL))],
  },
  {
    name: "Self-attention (restricted)", short: "Restricted", formulas: [["r", "·", "n", "·", "d"], ["1"], ["n", "/", "r"]],
    values: (n, d) => [Math.min(NEIGHBOURS, n) * n * d, 1, Math.ceil(n / NEIGHBOURS)],
  },
];

export default {
  id: "why",
  title: "Why self-attention",
  kinds: ["encoder", "decoder"], // one sequence
  applies: () => true,

  render({ model, live, source, state, timing }) {
    const times = once(() => timing(LENGTHS));
    return make("div", {},
      make("p", {}, "Before the Transformer, recurrent networks read a sentence token by token and kept all that they had " +
        "read in a vector. Table 1 of Vaswani et al. 2017 compares layers in three ways: how many operations a layer needs, how many " +
        "of these must wait for each other, and how many steps lie between two tokens."),
      lengthSlider(live, state),
      live((now) => comparison(lengthOf(now), model.model_width)),
      make("h3", {}, "Why recurrent networks struggled"),
      make("p", {}, "What a recurrent network knows of a token has to pass through all tokens after it. Each step multiplies " +
        "it by a matrix, and so does each step of the gradient on its way back. Over many steps it fades or grows without " +
        "bound (Hochreiter 1991; Bengio et al. 1994). In self-attention, each token reads every other token directly."),
      live((now) => tokens(now, state)),
      live((now) => distance(now, state)),
      live(async () => timeChart(model, await times(), source.canAsk)));
  },
};

// Calls a function once, and again after it has failed.
function once(function_) {
  let promise = null;
  return () => {
    promise ??= function_();
    promise.catch(() => { promise = null; });
    return promise;
  };
}

// The chosen length, as far as the slider has it.
const lengthOf = (now) => Math.max(SHORTEST, Math.min(LONGEST, SHORTEST * Math.round(now.length / SHORTEST)));

function lengthSlider(live, state) {
  const slider = make("input", { type: "range", id: "sequence-length", min: SHORTEST, max: LONGEST, step: SHORTEST });
  const shown = make("output", { for: "sequence-length" });
  slider.addEventListener("input", () => state.set({ length: Number(slider.value) }));
  const follow = live((now) => {
    slider.value = lengthOf(now);
    shown.textContent = `${whole(lengthOf(now))} tokens`;
    return make("span", { hidden: "" });
  });
  return make("div", { class: "stepper slider" }, make("label", { for: "sequence-length" }, "Length n"), slider, shown, follow);
}

// Table 1, and the operations as bars.
function comparison(n, d) {
  const rows = LAYERS.map((layer) => ({ ...layer, values: layer.values(n, d) }));
  const heads = ["layer", "complexity per layer", "sequential operations", "maximum path length"];
  const entry = (formula, value) => make("td", {}, math(formula), make("span", { class: "count" }, whole(value)));
  const line = ({ name, formulas, values }) => make("tr", {},
    make("th", { scope: "row" }, name), ...formulas.map((formula, i) => entry(formula, values[i])));
  const ratio = n / d;
  const compared = ratio === 1 ? "as many operations as" : `${number(ratio, 2)} times as many operations as`;
  return make("div", {},
    scrolling("complexity", "Table 1", make("table", { class: "complexity", id: "complexity" },
      make("thead", {}, make("tr", {}, ...heads.map((name) => make("th", { scope: "col" }, name)))),
      make("tbody", {}, ...rows.map(line)))),
    make("p", {}, `Here, d = ${whole(d)} is the width of this model's vectors, k = ${KERNEL} the width of a convolution, and ` +
      `r = ${NEIGHBOURS} the number of tokens that restricted self-attention looks at. As in the paper, constant factors are ` +
      `left out. Self-attention needs n / d = ${compared} a recurrent layer, so it is cheaper for sentences with fewer than ` +
      `${whole(d)} tokens.`),
    figure({ id: "operations", caption: `Operations of a layer for ${whole(n)} tokens of ${whole(d)} numbers` }, bars({
      key: "operations", items: rows.map(({ short, name, values }) => ({ label: short ?? name, value: values[0] })),
      describe: (_, i) => `${rows[i].name}: ${whole(rows[i].values[0])} operations`,
    })));
}

function math(parts) {
  const made = document.createElementNS("http://www.w3.org/1998/Math/MathML", "math");
  made.append(row("O", bracket(...parts.map((part) => (typeof part === "string" ? part : part.cloneNode(true))))));
  return made;
}

function tokens(now, state) {
  const control = (name, label, chosen) => choices({
    key: name, label, options: now.queries, chosen, isToken: true, choose: (i) => state.set({ [name]: i }),
  });
  const [first, second] = chosenTokens(now);
  return make("div", { class: "controls" }, control("query", "First token", first), control("key", "Second token", second));
}

// The two chosen tokens. If they are the same, the second is the end of the sentence that is farther away.
function chosenTokens({ query, key, queries }) {
  const last = queries.length - 1;
  const farther = query > last / 2 ? 0 : last;
  return [query, Math.min(key, last) === query ? farther : Math.min(key, last)];
}

function distance(now, state) {
  const [from, to] = chosenTokens(now).sort((a, b) => a - b);
  const [first, last] = [now.queries[from], now.queries[to]];
  const steps = to - from;
  return make("div", {},
    make("p", {}, `From ${first} to ${last}, a recurrent network needs ${whole(steps)} ${steps === 1 ? "step" : "steps"}; ` +
      "self-attention needs one."),
    figure({ id: "paths", caption: `The paths from ${first} to ${last}` },
      paths(now.queries, from, to, (key) => state.set({ key }))));
}

// What the server has measured, or the machine that saved the page; nothing in a saved page without it.
function timeChart(model, times, isOfServer) {
  if (!times?.lengths.length) return make("div");
  const last = times.lengths.length - 1;
  const [attention, recurrent] = [times.self_attention, times.recurrent];
  const series = [{ name: "self-attention", values: attention }, { name: "LSTM", values: recurrent }];
  return make("div", {},
    make("h3", {}, isOfServer ? "Measured on the server" : "Measured when this file was written"),
    make("p", {}, `One self-attention layer with ${whole(model.heads)} heads and one LSTM layer, both of width ` +
      `${whole(model.model_width)} and with random weights, read one sequence in TensorFlow. For ` +
      `${whole(times.lengths[last])} tokens, the LSTM takes ${number(recurrent[last] / attention[last], 1)} times as long: ` +
      "it computes one token after the other."),
    figure({ id: "times", caption: `Milliseconds on ${times.device}, the fastest of ${times.runs} runs` }, lineChart({
      key: "times", series, places: times.lengths, across: "tokens", up: "milliseconds",
      describe: ({ name, values }, i) => `${name}, ${whole(times.lengths[i])} tokens: ${number(values[i])} ms`,
    })));
}
