// Where the queries, keys and values come from: three learned matrices times the vector of a token.
import { draw, make } from "../../../elements.js";
import { controls, figure, number, projections } from "../../charts.js";
import { equation, row, sub, sup, words } from "../../equations.js";
import { entry, entryControls } from "./entry.js";
import { entryOf, LETTERS, partsOf, vectorOf, VECTORS } from "./projected.js";

const DRAWN = "each column of a matrix is drawn as a row";

export default {
  id: "query-key-value",
  title: "Queries, keys and values",
  here: ({ kind }) => [`${kind}-attention`],
  applies: () => true,

  render(context) {
    const { details, live, model } = context;
    const width = model.model_width / model.heads;
    return make("div", {},
      make("p", {}, `Each token comes into a layer as one vector x of ${model.model_width} numbers. Three matrices, which ` +
        `training has learned, turn it into three vectors of ${width} numbers: a query, a key and a value. Attention then ` +
        "compares the query of one token with the keys of all tokens, and mixes their values. Each head of each " +
        "layer has its own three matrices."),
      live((now) => sources(context, now)),
      live((now) => equation("Vaswani et al. 2017, Section 3.2.2",
        ...VECTORS.flatMap((name, i) => [...(i ? [",", "\u2003"] : []), ...product(name, now)]))),
      live((now) => chosenTokens(context, now)),
      live(async (now) => pictures(context, now, await details())),
      make("h3", {}, "One number, spelt out"),
      ...entryControls(context, width),
      live(async (now) => entry(now, partsOf(now, await details()))));
  },
};

// Where queries and keys come from in each kind of attention.
function sources({ model, state }, now) {
  if (!model.encoder_layers) return make("span", { hidden: "" });
  const link = make("a", { href: state.address({ kind: "cross" }), "data-box": "cross-attention", "data-key": "to-cross" },
    "encoder-decoder attention");
  return make("p", {}, "In self-attention, all three come from the same text. In ", now.kind === "cross" ? "encoder-decoder attention" : link,
    ", the queries come from the decoder, and the keys and values from the output of the encoder's last layer.");
}

// How a query, key or value is computed. In encoder-decoder attention, the query is made of another vector.
function product(name, now) {
  const x = now.kind === "cross" ? sub("x", words(name === "query" ? "decoder" : "encoder")) : "x";
  return [LETTERS[name][0], "=", row(x, sup("W", LETTERS[name][1]))];
}

// What chooses the head and the token, or the two tokens of encoder-decoder attention.
function chosenTokens(context, now) {
  return controls(context, now, ["kind", "layer", "head", ...(now.kind === "cross" ? ["query", "key"] : ["token"])]);
}

// The vector and the three matrices, or in encoder-decoder attention two vectors with the matrices that read them.
function pictures(context, now, details) {
  const parts = partsOf(now, details);
  const [query, key] = [parts.query.token, parts.key.token];
  const from = origin(now, context);
  if (now.kind !== "cross") {
    return make("div", {}, make("p", {}, `In layer ${now.layer + 1}, the vector x of ${query} is `, ...from, "."),
      picture(context, now, parts, VECTORS, `The vector of ${query} times the three matrices of this head; ${DRAWN}`));
  }
  return make("div", {},
    make("p", {}, `The query is made from the decoder's vector of ${query}: `, ...from, ". The key and the value are made from the " +
      `encoder's output for ${key}. All layers of the decoder read the same output of the encoder, each with its own matrices.`),
    picture(context, now, parts, ["query"], `The decoder's vector of ${query} times the matrix of the queries; ${DRAWN}`),
    picture(context, now, parts, ["key", "value"], `The encoder's output for ${key} times the matrices of the keys and values; ${DRAWN}`));
}

// What x is in this layer: text, and a link.
function origin({ kind, layer }, { model, state }) {
  const below = layer ? `the output of layer ${layer}` : "the sum of embedding and position";
  const link = make("a", { href: state.address({ chapter: "residual" }), "data-key": "to-residual" }, "layer normalisation");
  const normalized = model.normalization === "pre" ? [", after the ", link] : [];
  return [kind === "cross" ? "the result of the masked self-attention of this layer" : below, ...normalized];
}

function picture({ state }, now, parts, names, caption) {
  const { input, matrix, token } = parts[names[0]];
  const [height, width] = matrix.shape;
  const maps = names.map((name) => ({
    label: ["W", raised(LETTERS[name][1]), lowered(`, ${height} × ${width}`)], matrix: parts[name].matrix,
    result: { label: name, values: parts[name].result },
  }));
  const m = names.indexOf(vectorOf(now));
  return figure({ id: `projection-${names[0]}`, caption }, projections({
    key: `projection-${names[0]}`, input: { label: `x of ${token}: ${height} numbers`, values: input }, maps,
    chosen: m < 0 ? null : [m, entryOf(now, width)], choose: (map, i) => state.set({ vector: names[map], dimension: i }),
    describe: (map, i, j) => (map === null ? `x, number ${j + 1}: ${number(input[j])}` : about(names[map], parts, i, j)),
  }));
}

const RAISED = 5; // pixels
const raised = (text) => draw("tspan", { dy: -RAISED, "font-size": 10 }, text);
const lowered = (text) => draw("tspan", { dy: RAISED }, text);

function about(name, parts, i, j) {
  const { input, matrix, result } = parts[name];
  if (j === null) return `${name}, number ${i + 1}: ${number(result[i])}`;
  return `a part of number ${i + 1} of the ${name}: x, number ${j + 1}, times a weight, ${number(input[j])} × ` +
    `${number(matrix.at(j, i))} = ${number(input[j] * matrix.at(j, i))}`;
}
