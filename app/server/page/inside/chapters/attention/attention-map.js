// The weights of one head, or the mean of the heads of a layer, for all tokens: as lines between the tokens and as a map.
import { make } from "../../../elements.js";
import { Tensor } from "../../arrays.js";
import { choices, controls, figure, heatMap, links, percent } from "../../charts.js";
import { isMasked, KINDS, targetOutputs } from "../../tokens.js";

const STRONGEST = 3; // keys that are named

// The mean of the heads of a layer.
export function meanOfHeads(weights, layer) {
  const [, heads, queries, keys] = weights.shape;
  const values = new Float32Array(queries * keys);
  for (let head = 0; head < heads; head++) weights.row(layer, head).forEach((value, i) => { values[i] += value / heads; });
  return new Tensor([queries, keys], values);
}

// The labels of the queries: the tokens that are read. Those of encoder-decoder attention are named after the token that is
// predicted there, which is the one whose source is looked for.
export const rowsOf = (found, now) => (now.kind === "cross" ? targetOutputs(found) : now.queries);
export const rowName = (now) => (now.kind === "cross" ? "predicted" : "query");

// What the chosen query reads and predicts, in words; nothing for the encoder, which predicts nothing.
export const chosenRow = (found, now) => (now.kind === "encoder" ? ""
  : `. The chosen row is the position that reads ${now.queries[now.query]} and predicts ${targetOutputs(found)[now.query]}`);

// The controls, the lines and the map.
export function attentionMap(context) {
  const { found, live, state } = context;
  return make("div", {},
    live((now) => headControls(context, now)),
    live((now) => {
      const shown = chosenWeights(found, now);
      return make("div", {}, lines(found, now, state, shown), map(found, now, state, shown));
    }));
}

const isMean = (now, model) => now.heads === "mean" && model.heads > 1;

function headControls(context, now) {
  const { model, state } = context;
  const box = controls(context, now, ["layer"]);
  if (model.heads < 2) return box;
  box.append(choices({
    key: "head", label: "Head", options: [...Array.from({ length: model.heads }, (_, i) => String(i + 1)), "Mean"],
    chosen: isMean(now, model) ? model.heads : now.head,
    choose: (i) => state.set(i < model.heads ? { head: i, heads: null } : { heads: "mean" }),
  }));
  return box;
}

function chosenWeights(found, now) {
  const weights = found[`${now.kind}_attention`];
  const layer = `${KINDS[now.kind]}, layer ${now.layer + 1}`;
  return isMean(now, found.model) ? { values: meanOfHeads(weights, now.layer), name: `${layer}, mean of all heads` }
    : { values: weights.part(now.layer, now.head), name: `${layer}, head ${now.head + 1}` };
}

// The keys with the largest weights for a query, in words.
function strongest(values, keys, query) {
  const row = values.row(query);
  const order = keys.map((_, j) => j).sort((a, b) => row[b] - row[a]);
  return order.slice(0, STRONGEST).map((j) => `${keys[j]} ${percent(row[j])}`).join(", ");
}

function lines(found, now, state, { values, name }) {
  const rows = rowsOf(found, now);
  const caption = `${name}: a thicker line is a larger weight${chosenRow(found, now)}`;
  return figure({ id: "attention-lines", caption }, links({
    key: "attention-lines", values, queries: rows, keys: now.keys, names: [rowName(now), "key"], chosen: now.query, chosenKey: now.key,
    choose: (query) => state.set({ query }),
    describe: (query) => `${rows[query]} attends most to: ${strongest(values, now.keys, query)}`,
  }));
}

function map(found, now, state, { values, name }) {
  const rows = rowsOf(found, now);
  const caption = `${name}: each row is a query and sums to 1${chosenRow(found, now)}`;
  return figure({ id: "attention-map", caption }, heatMap({
    key: "attention-map", values, limit: 1, rows, columns: now.keys, rowName: rowName(now), columnName: "key",
    chosen: [now.query, now.key],
    isMasked: (query, key) => isMasked(now.kind, query, key), choose: (query, key) => state.set({ query, key }),
    describe: (query, key, value) =>
      `${rows[query]} attends to ${now.keys[key]}: ${isMasked(now.kind, query, key) ? "masked" : percent(value)}`,
  }));
}
