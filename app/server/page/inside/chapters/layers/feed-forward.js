// The position-wise feed-forward network: its widths, and which of its inner units are above 0.
import { make } from "../../../elements.js";
import { sum, Tensor } from "../../arrays.js";
import { bars, figure, heatMap, longVector, number, percent, whole } from "../../charts.js";
import { bracket, equation, row, sub, words } from "../../equations.js";
import { layerName, layersOf, placeControls, roomOf } from "./place.js";
import { network } from "./network.js";

const { d3 } = globalThis; // charts.js loads it

const STRONGEST = 8; // units that are shown for all tokens
const LINES = { narrow: 32, wide: 64 }; // inner units in a line
const NARROW = 700; // pixels of room below which lines are narrow
const BINS = 10; // of the distribution
const SPARSE = " All others are exactly 0 and add nothing to the output.";

export default {
  id: "feed-forward",
  title: "Feed-forward network",
  boxes: ["encoder-feed-forward", "decoder-feed-forward"],
  kinds: ["encoder", "decoder"], // the stack
  applies: () => true,

  render(context) {
    const { found, model, live, state, details } = context;
    const drawn = (drawing) => live(async (now) => drawing(now, await details()));
    return make("div", {},
      make("p", {}, "After attention, each token passes by itself through a network of two linear maps: from " +
        `${whole(model.model_width)} numbers to ${whole(model.inner_width)} inner units, and back. The maps are the same at ` +
        "every position; each layer has its own. Attention moves information between tokens, and this network works on what " +
        "each of them has."),
      ...activation(model),
      live((now) => placeControls(context, now, ["kind", "layer", "query"])),
      drawn((now, { inner, ...others }) => wide(model, now, { inner, ...others })),
      make("h3", {}, "Which inner units are above 0"),
      drawn((now, { inner }) => units(model, now, inner.row(now.query))),
      make("h3", {}, "The strongest units of this token, at all tokens"),
      drawn((now, { inner }) => strongest(now, inner, state)),
      make("h3", {}, "How many units are above 0, layer by layer"),
      live((now) => shares(found, model, now, state)),
      make("h3", {}, "The distribution of the inner units"),
      drawn((now, { inner }) => distribution(model, now, inner.row(now.query))));
  },
};

// The equation of this model.
function activation({ activation: name }) {
  const linear = row("x", sub("W", "1"), "+", sub("b", "1"));
  const outer = [sub("W", "2"), "+", sub("b", "2")];
  const network = [words("FFN"), bracket("x"), "="];
  if (name === "relu") return [equation("Vaswani et al. 2017, Eq. 2", ...network, words("max"), bracket("0", ",", linear), ...outer)];
  return [
    equation("This model", ...network, words("swish"), bracket(linear), ...outer),
    make("p", {}, "The paper has max(0, z) (ReLU), which makes each negative number 0. This model has swish(z) = z · " +
      "sigmoid(z) (Ramachandran et al. 2017), which is smooth, and slightly below 0 for negative numbers."),
  ];
}

// The token's vector on its way through the network.
function wide(model, now, { before, added, normalized, inner }) {
  const last = before.shape[0] - 1; // the feed-forward network is the last sublayer
  const input = model.normalization === "pre" ? normalized : before;
  const token = now.queries[now.query];
  const parameters = 2 * model.model_width * model.inner_width + model.model_width + model.inner_width;
  const layers = model.encoder_layers + model.decoder_layers;
  return make("div", {},
    make("p", {}, `W₁ is a matrix of ${whole(model.model_width)} × ${whole(model.inner_width)} numbers, W₂ of ` +
      `${whole(model.inner_width)} × ${whole(model.model_width)}. With b₁ and b₂, the network of a layer has ` +
      `${whole(parameters)} parameters. Of all parameters of this model, ${percent(layers * parameters / model.parameters)} ` +
      "are in its feed-forward networks."),
    figure({ id: "network", caption: `What the network of ${layerName(now)} makes of the vector of ${token}` },
      network(input.row(last, now.query), inner.row(now.query), added.row(last, now.query), roomOf())));
}

function units(model, now, values) {
  const perLine = Math.min(values.length, LINES[roomOf() < NARROW ? "narrow" : "wide"]);
  const active = values.filter((value) => value > 0).length;
  const token = now.queries[now.query];
  const caption = `The ${whole(values.length)} inner units of ${layerName(now)} at ${token}; units 1 to ${perLine} are in ` +
    "the first line";
  return make("div", {},
    make("p", {}, `At ${token}, ${whole(active)} of the ${whole(values.length)} units are above 0, which is ` +
      `${percent(active / values.length)}.${model.activation === "relu" ? SPARSE : ""}`),
    figure({ id: "units", caption }, longVector({
      key: "units", values, perLine, cell: [11, 14], describe: (i, value) => `unit ${i + 1}: ${number(value)}`,
    })));
}

// The units with the largest numbers at the chosen token, and their numbers at all tokens.
function strongest(now, inner, state) {
  const values = inner.row(now.query);
  const order = d3.range(values.length).sort((a, b) => values[b] - values[a]).slice(0, STRONGEST);
  const table = new Tensor([order.length, now.queries.length], Float32Array.from(
    order.flatMap((unit) => now.queries.map((_, position) => inner.at(position, unit)))));
  return make("div", {},
    make("p", {}, "A row is one unit, which computes the same at each token. So it shows what else in this sentence the unit " +
      "reacts to."),
    figure({ id: "strongest", caption: `The ${order.length} units of ${layerName(now)} with the largest numbers at ` +
      `${now.queries[now.query]}` },
      heatMap({
        key: "strongest", values: table, rows: order.map((unit) => `unit ${unit + 1}`), columns: now.queries, columnName: "token",
        chosen: [0, now.query], choose: (_, query) => state.set({ query }),
        describe: (i, j, value) => `unit ${order[i] + 1} at ${now.queries[j]}: ${number(value)}`,
      })));
}

function shares(found, model, now, state) {
  const values = found[`${now.kind}_active`];
  const [layers, positions] = values.shape;
  const all = [...values.data];
  const mean = (layer) => sum(values.row(layer)) / positions;
  const rows = Array.from({ length: layers }, (_, i) => `layer ${i + 1}: ${percent(mean(i))}`);
  return make("div", {},
    make("p", {}, `Over all layers of the ${now.kind} and all tokens of this sentence, from ${percent(Math.min(...all))} to ` +
      `${percent(Math.max(...all))} of the units are above 0. The mean of each layer is beside its row.`),
    figure({ id: "shares", caption: `The share of inner units above 0, for each layer and token of the ${now.kind}` }, heatMap({
      key: "shares", values, text: percent, rows, columns: now.queries, columnName: "token", chosen: [now.layer, now.query],
      choose: (layer, query) => state.set({ layer, query }),
      describe: (layer, query, value) =>
        `layer ${layer + 1} at ${now.queries[query]}: ${percent(value)} of ${whole(model.inner_width)} units`,
    })));
}

// How often which values occur: exactly 0, and ranges of equal width.
function distribution(model, now, values) {
  const others = values.filter((value) => value !== 0);
  const zeros = values.length - others.length;
  const token = now.queries[now.query];
  const items = d3.bin().thresholds(BINS)(others).map((bin) => (
    { label: `${number(bin.x0, 2)} to ${number(bin.x1, 2)}`, value: bin.length }));
  items.unshift({ label: "exactly 0", value: zeros });
  const lowest = number(Math.min(...values));
  const said = model.activation === "relu"
    ? `ReLU makes the vector sparse: ${percent(zeros / values.length)} of its numbers are exactly 0.`
    : `With swish, units are rarely exactly 0: here ${whole(zeros)} of ${whole(values.length)}. The lowest number is ` +
      `${lowest}; swish is nowhere below −0.28.`;
  return make("div", {},
    make("p", {}, said),
    figure({ id: "distribution", caption: `How many inner units of ${layerName(now)} have which values at ${token}` }, bars({
      key: "distribution", items: items.map((item) => ({ ...item, text: whole(item.value) })),
      describe: ({ label, value }) => `${label}: ${whole(value)} of ${whole(values.length)} units`,
    })));
}
