// The multiplications of one step of the decoder, with a cache and without one.
import { make } from "../../../elements.js";
import { sum } from "../../arrays.js";
import { figure, lineChart, number, whole } from "../../charts.js";
import { hasSource } from "../../tokens.js";

const MILLION = 1e6;

// What a step multiplies: [name, with a cache, without one]. Without a cache, all positions so far are computed again, and so
// are the keys and values of the source. `length` is the number of positions so far, the new one included.
export function multiplications({ model, source_ids: source }, length) {
  const { decoder_layers: layers, inner_width: inner, model_width: width, vocabulary_size: vocabulary } = model;
  const parts = [
    ["queries, keys, values and output of the self-attention", layers * 4 * width ** 2, layers * 4 * width ** 2 * length],
    ["scores and weighted values", layers * 2 * length * width, layers * 2 * length ** 2 * width],
    ["feed-forward network", layers * 2 * width * inner, layers * 2 * width * inner * length],
    ["scores of the vocabulary", width * vocabulary, width * vocabulary],
  ];
  if (source) {
    const attention = 2 * width ** 2 + 2 * source.length * width; // query and output, scores and weighted values
    const memory = 2 * source.length * width ** 2; // keys and values of the source
    parts.splice(2, 0, ["encoder-decoder attention", layers * attention, layers * (attention * length + memory)]);
  }
  return parts;
}

const totals = (found, length) => [1, 2].map((column) => sum(multiplications(found, length).map((part) => part[column])));

export function cost(found, now) {
  const length = now.query + 1;
  const steps = found.target_ids.map((_, t) => totals(found, t + 1));
  const [cached, anew] = [0, 1].map((column) => sum(steps.map((step) => step[column])));
  const { model } = found;
  const others = [
    ...(model.encoder_layers ? ["the encoder"] : []), ...(model.copying ? ["the copying"] : []), "the layer normalisations",
  ];
  const series = ["without cache", "with cache"].map((name, i) => ({ name, values: steps.map((step) => step[1 - i] / MILLION) }));
  return make("div", {},
    make("p", {}, rowsInWords(found)),
    table(found, length),
    make("p", {}, `For all ${steps.length} steps, this model multiplies ${number(cached / MILLION, 2)} million times with a ` +
      `cache and ${number(anew / MILLION, 2)} million times without, which is ${number(anew / cached, 1)} times as much work. Not counted: ` +
      `${others.join(", ")}.`),
    figure({ id: "cost", caption: "Millions of multiplications in each step" }, lineChart({
      key: "cost", series, places: steps.map((_, t) => t + 1), across: "step", up: "million multiplications",
      describe: ({ name, values }, t) => `step ${t + 1}, ${name}: ${number(values[t])} million multiplications`,
    })));
}

// How the rows of the table are counted.
function rowsInWords(found) {
  const { decoder_layers: layers } = found.model;
  const said = "Each layer has a row of keys and a row of values for each token";
  if (!hasSource(found)) return `${said}, so ${2 * layers} rows for a token.`;
  const { length } = found.source_ids;
  return `${said}: 2 rows × ${layers} ${layers === 1 ? "layer" : "layers"} × ${length} tokens = ${whole(2 * layers * length)} rows of the source.`;
}

// The rows of keys and values, and the multiplications, of one step.
function table(found, length) {
  const { decoder_layers: layers } = found.model;
  const cell = (value, name) => make("td", { class: "number", "data-column": name }, whole(value));
  const line = ([name, cached, anew]) =>
    make("tr", {}, make("th", { scope: "row" }, name), cell(cached, "with"), cell(anew, "without"));
  const text = hasSource(found) ? "target" : "text";
  const rows = [
    [`rows of the ${text}, read from the cache`, 2 * layers * (length - 1), 0],
    [`rows of the ${text}, computed`, 2 * layers, 2 * layers * length],
  ];
  if (hasSource(found)) {
    const source = 2 * layers * found.source_ids.length;
    rows.splice(1, 0, ["rows of the source, read from the cache", source, 0]);
    rows.push(["rows of the source, computed", 0, source]);
  }
  const heading = (name) => make("tr", {}, make("th", { scope: "rowgroup", colspan: 3, class: "group" }, name));
  const head = ["", "with cache", "without cache"].map((name) => (name ? make("th", { scope: "col" }, name) : make("td", {})));
  const [cached, anew] = totals(found, length);
  const region = { class: "scroll", tabindex: 0, role: "region", "aria-label": "What the step computes", "data-key": "counts" };
  return make("div", region,
    make("table", { class: "numbers", id: "counts" }, make("thead", {}, make("tr", {}, ...head)),
      make("tbody", {}, heading("Keys and values, in all layers"), ...rows.map(line)),
      make("tbody", {}, heading("Multiplications"), ...multiplications(found, length).map(line)),
      make("tfoot", {}, line([`sum in step ${length}`, cached, anew]))));
}
