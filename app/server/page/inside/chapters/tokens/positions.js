// Positional encodings: the picture of the waves, one pair of them, how similar positions are, and the sum with an embedding.
import { make } from "../../../elements.js";
import { figure, heatMap, number, slider, vectors, waves } from "../../charts.js";
import { bracket, equation, fraction, root, row, sub, sup, words } from "../../equations.js";
import { sideChoices } from "./sides.js";
import { similarity } from "./similarity.js";

const LARGEST = 900; // pixels of the picture
const SUM = 620; // pixels of the vectors of the sum
const CELLS = [2, 16]; // the narrowest and the widest cell there
const HEIGHT = 14; // of a position
const BASE = 10_000; // of the wavelengths

export default {
  id: "positions",
  title: "Positional encoding",
  boxes: ["source-positions", "target-positions"],
  kinds: ["encoder", "decoder"], // the side of the chosen token
  applies: () => true,

  render(context) {
    const { found, live, model, state } = context;
    const encodings = found.positional_encodings;
    const wave = (name) => [sub("PE", row("pos", ",", ...name)), "=", words(name.length === 2 ? "sin" : "cos"),
      bracket(fraction("pos", sup("10000", row("2", "i", "/", "d"))))];
    return make("div", {},
      make("p", {}, "Attention by itself ignores the order of the words. So a vector that depends only on the position is " +
        "added to each embedding. Its numbers are sine and cosine waves over the positions: in the picture, each row is a " +
        "position and each column a dimension, with short waves on the left and long ones on the right."),
      equation("Vaswani et al. 2017, Section 3.5", ...wave(["2", "i"])),
      equation("Section 3.5", ...wave(["2", "i", "+", "1"])),
      live((now) => sideChoices(found, now, state)),
      live((now) => figure({
        id: "positions", caption: `The encodings of ${encodings.shape[0]} positions in ${model.model_width} dimensions`,
      }, picture(encodings, now, state))),
      make("h3", {}, "One pair of dimensions"),
      slider({
        live, key: "pair", label: "Pair i", most: () => model.model_width / 2 - 1, read: (now) => pairOf(now, model),
        write: (pair) => state.set({ dimension: 2 * pair }), text: (now) => `${pairOf(now, model)}`,
      }),
      live((now) => pair(encodings, now, model, state)),
      make("h3", {}, "Which positions are similar"),
      live((now) => similarity(encodings, now, state)),
      make("h3", {}, "The sum"),
      live((now) => sum(found, now, model)));
  },
};

const pairOf = (now, model) => Math.floor(Math.min(now.dimension, model.model_width - 1) / 2);

function picture(values, now, state) {
  const [, dimensions] = values.shape;
  return heatMap({
    key: "positions", values, cell: [Math.max(1, Math.floor(LARGEST / dimensions)), HEIGHT], limit: 1, rowName: "position",
    columnName: "dimension", chosen: [now.query, Math.min(now.dimension, dimensions - 1)],
    choose: (i, j) => state.set({ query: Math.min(i, now.queries.length - 1), dimension: j }),
    describe: (i, j, value) => `position ${i}, dimension ${j}: ${number(value)}`,
  });
}

// The waves of a pair, and how far they go from one position to the next.
function pair(encodings, now, model, state) {
  const [count] = encodings.shape;
  const i = pairOf(now, model);
  const rate = BASE ** (-2 * i / model.model_width);
  const dimension = (shift) => Float32Array.from({ length: count }, (_, position) => encodings.at(position, 2 * i + shift));
  const values = [dimension(0), dimension(1)];
  const names = `Dimensions ${2 * i} (blue) and ${2 * i + 1} (orange)`;
  return make("div", {},
    make("p", {}, `In dimensions ${2 * i} and ${2 * i + 1} the angle grows by ${number(rate, 4)} from one position to the ` +
      `next, so a wave repeats after ${number(2 * Math.PI / rate)} positions. The two numbers are a point on a circle, and a ` +
      "shift by some positions turns it by the same angle everywhere. This is a linear map, so the model can learn to " +
        "attend by distance."),
    figure({ id: "pair", caption: `${names}: the points are this model's numbers, the curves the equations` }, waves({
      key: "pair", pair: values, rate, chosen: now.query,
      choose: (query) => state.set({ query: Math.min(query, now.queries.length - 1) }),
      describe: (line, at) => `${line ? "cos" : "sin"}(${at} · ${number(rate, 4)}) = ${number(values[line][at])}`,
    })));
}

// What the first layer reads at the chosen position.
function sum(found, now, model) {
  const side = now.kind === "encoder" ? "source" : "target";
  const token = now.queries[now.query];
  const scale = Math.sqrt(model.model_width);
  const row = found[`${side}_embeddings`].row(now.query);
  const embedding = row.map((value) => scale * value);
  const position = found.positional_encodings.row(now.query);
  const lines = [
    { label: "√d · embedding", values: embedding },
    { label: "position", values: position },
    { label: "sum", values: embedding.map((value, j) => value + position[j]) },
  ];
  const cell = Math.max(CELLS[0], Math.min(CELLS[1], Math.floor(SUM / model.model_width)));
  return make("div", {},
    make("p", {}, "The first layer reads the sum of the embedding, which says what the token is, and the encoding, which says " +
      "where it is. Both have the same number of dimensions."),
    equation("Section 3.5", sub("x", "pos"), "=", root("d"), "·", "E", "[", words(token), "]", "+", sub("PE", String(now.query))),
    figure({ id: "sum", caption: `What the first layer reads for ${token} at position ${now.query}` }, vectors({
      key: "sum", lines, cell: [cell, 26], limit: Math.max(...lines.flatMap(({ values }) => [...values].map(Math.abs))),
      describe: (line, j, value) => (line < 2 ? `${lines[line].label}, dimension ${j}: ${number(value)}`
        : `${number(embedding[j])} + ${number(position[j])} = ${number(value)}`),
    })));
}
