// For each step of the decoder, the source token with the largest weight in each layer.
import { draw, make } from "../../../elements.js";
import { figure, percent } from "../../charts.js";
import { readable } from "../../drawing/pointing.js";
import { meanOfHeads, rowsOf } from "./attention-map.js";

const ROW = 26; // pixels
const COLUMN = 132;
const HEAD = 40;
const LETTER = 8;
const LONGEST = 9; // letters of a label in a cell
const LONGEST_ROW = 14;

const short = (label, longest) => ([...label].length > longest ? `${[...label].slice(0, longest - 1).join("")}…` : label);

// The layer that word alignments are read from, as the server does: the second to last of three or more, else the last.
const alignmentLayer = (layers) => (layers > 2 ? layers - 2 : layers - 1);

// For each layer and step: the key with the largest mean weight, and this weight.
function strongest(weights) {
  return Array.from({ length: weights.shape[0] }, (_, layer) => {
    const mean = meanOfHeads(weights, layer);
    return Array.from({ length: mean.shape[0] }, (_, query) => {
      const row = mean.row(query);
      const key = row.indexOf(Math.max(...row));
      return { key, weight: row[key] };
    });
  });
}

// How the attention moves over the source in this sentence, in words.
export function moves(found, now) {
  const layers = strongest(found.cross_attention);
  const layer = alignmentLayer(layers.length);
  const steps = layers[layer].map(({ key }) => key);
  const count = (test) => steps.slice(1).filter((key, i) => test(key - steps[i])).length;
  const { key, weight } = layers[layer][now.query];
  return `In the mean of the heads of layer ${layer + 1}, the strongest source token moves forward ` +
    `${times(count((by) => by > 0))} from one step to the next, stays ${times(count((by) => !by))} and moves back ${times(count((by) => by < 0))}. When ` +
    `${rowsOf(found, now)[now.query]} is predicted, it is ${now.keys[key]}, with ${percent(weight)}.`;
}

// A paragraph on the layer that looks at the word that is being translated; nothing if there is no such word or one layer.
export function alignment({ cross_attention: { shape: [layers] }, model }) {
  if (model.task !== "translation" || layers < 2) return "";
  return make("p", {}, `Layer ${alignmentLayer(layers) + 1} often looks at the source word that is being translated, so word ` +
    "alignments are read from it (Garg et al. 2019). Other layers look elsewhere, too.");
}

const times = (count) => (count === 1 ? "once" : `${count} times`);

// A row for each step and a column for each layer.
export function looks({ found, state }, now) {
  const layers = strongest(found.cross_attention);
  const rows = rowsOf(found, now);
  const aligned = found.model.task === "translation" ? alignmentLayer(layers.length) : null;
  const left = LETTER * Math.max(...rows.map((label) => Math.min(LONGEST_ROW, [...label].length)), "predicted".length) + 12;
  const [width, height] = [left + COLUMN * layers.length + 2, HEAD + ROW * rows.length + 2];
  const svg = draw("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "group" });
  svg.append(draw("text", { class: "axis", x: left - 8, y: 34, "text-anchor": "end" }, "predicted"));
  layers.forEach((steps, layer) => {
    const x = left + COLUMN * layer;
    svg.append(draw("text", { class: layer === aligned ? "strong" : null, x: x + 4, y: 16 }, `Layer ${layer + 1}`),
      layer === aligned ? draw("text", { class: "axis", x: x + 4, y: 33 }, "alignment") : "",
      ...steps.flatMap(({ key, weight }, query) => cell(short(now.keys[key], LONGEST), weight, x, HEAD + ROW * query)));
  });
  svg.append(...rows.map((label, query) => draw("text", {
    class: query === now.query ? "strong" : null, x: left - 8, y: HEAD + ROW * query + 18, "text-anchor": "end",
  }, short(label, LONGEST_ROW))));
  const box = (i, j) => (rows[i] !== undefined && layers[j]
    ? { x: left + COLUMN * j, y: HEAD + ROW * i, width: COLUMN - 4, height: ROW - 3 } : null);
  const caption = "The source token with the largest weight in each layer, mean of the heads";
  return figure({ id: "looked-at", caption }, readable(svg, {
    key: "looked-at", rows: rows.length, columns: layers.length, chosen: [now.query, now.layer], box,
    choose: (query, layer) => state.set({ query, layer, key: layers[layer][query].key, heads: "mean" }),
    find: (x, y) => {
      const found = [Math.floor((y - HEAD) / ROW), Math.floor((x - left) / COLUMN)];
      return box(...found) ? found : null;
    },
    describe: (query, layer) => {
      const { key, weight } = layers[layer][query];
      const source = `${now.keys[key]} (place ${key + 1})`;
      return `Layer ${layer + 1}, ${rows[query]} is predicted: ${source} has the largest weight, ${percent(weight)}`;
    },
  }));
}

const cell = (label, weight, x, y) => [
  draw("rect", {
    class: "positive", "fill-opacity": (0.06 + 0.36 * weight).toFixed(3), x, y, width: COLUMN - 4, height: ROW - 3, rx: 3,
  }),
  draw("text", { x: x + 6, y: y + 17 }, label),
  draw("text", { class: "share", x: x + COLUMN - 10, y: y + 17, "text-anchor": "end" }, percent(weight)),
];
