// Two columns of tokens, and a line from each query to each key. The stronger a line, the larger the weight.
import { draw } from "../../elements.js";
import { readable } from "./pointing.js";

const ROW = 26; // pixels
const LETTER = 8;
const LONGEST = 14; // letters of a label
const HEAD = 26;
const BETWEEN = { narrow: 110, wide: 300 };
const NARROW = 600; // a page of fewer pixels is narrow
const LEAST = 0.02; // smaller weights have no line
const FAINT = 0.3; // opacity of the lines of other queries

const short = (label) => ([...label].length > LONGEST ? `${[...label].slice(0, LONGEST - 1).join("")}…` : label);
const widest = (labels) => LETTER * Math.max(0, ...labels.map((label) => [...short(label)].length));

// Draws the weights, a Tensor [queries, keys].
//   queries, keys: labels; names: what the two columns are; chosen: a query; chosenKey; describe(query); choose(query).
export function links({ key, values, queries, keys, names, chosen, chosenKey, describe, choose }) {
  const between = BETWEEN[document.documentElement.clientWidth < NARROW ? "narrow" : "wide"];
  const left = Math.max(widest(queries), LETTER * names[0].length) + 10;
  const right = left + between;
  const width = right + Math.max(widest(keys), LETTER * names[1].length) + 12;
  const height = HEAD + ROW * Math.max(queries.length, keys.length) + 4;
  const svg = draw("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "group" });
  const middle = (i) => HEAD + ROW * (i + 0.5);
  svg.append(draw("text", { class: "axis", x: left - 8, y: 14, "text-anchor": "end" }, names[0]),
    draw("text", { class: "axis", x: right + 8, y: 14 }, names[1]));
  const order = queries.map((_, i) => i).sort((a, b) => (a === chosen) - (b === chosen)); // those of the chosen query on top
  for (const i of order) svg.append(...lines(i));
  const label = (text, i, x, anchor, isStrong) => draw("text", {
    class: isStrong ? "strong" : null, x, y: middle(i) + 5, "text-anchor": anchor,
  }, short(text));
  svg.append(...queries.map((text, i) => label(text, i, left - 8, "end", i === chosen)),
    ...keys.map((text, j) => label(text, j, right + 8, "start", j === chosenKey)));

  function lines(i) {
    return keys.flatMap((_, j) => {
      const weight = values.at(i, j);
      if (!(weight >= LEAST)) return [];
      return [draw("line", {
        class: "weight", x1: left, y1: middle(i), x2: right, y2: middle(j), "stroke-width": (1 + 5 * weight).toFixed(2),
        "stroke-opacity": (weight * (i === chosen ? 1 : FAINT)).toFixed(3), "data-query": i, "data-key-token": j,
      })];
    });
  }

  return readable(svg, {
    key, rows: queries.length, columns: 1, chosen: [chosen, 0], choose: (i) => choose(i), describe: (i) => describe(i),
    box: (i, j) => (queries[i] !== undefined && !j ? { x: 1, y: HEAD + ROW * i + 1, width: left - 2, height: ROW - 2 } : null),
    find: (x, y) => {
      const i = Math.floor((y - HEAD) / ROW);
      return x <= left && i >= 0 && i < queries.length ? [i, 0] : null;
    },
  });
}
