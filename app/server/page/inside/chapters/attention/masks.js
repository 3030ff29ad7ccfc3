// The masks of the kinds of attention, drawn: which cells exist.
import { draw, make } from "../../../elements.js";
import { figure, whole } from "../../charts.js";
import { readable } from "../../drawing/pointing.js";
import { isMasked, keyTokens, KINDS, kindsOf, queryTokens, SHORT_KINDS } from "../../tokens.js";

const SIDE = 150; // pixels of the longer side of a mask
const NARROW = { side: 76, page: 600, names: { cross: "Enc.-decoder" } };
const GAP = 24;
const HEAD = 24;
const CHAPTERS = { encoder: "self-attention", decoder: "masked-attention", cross: "cross-attention" };

// The mask of this kind of attention beside those of the others; `why` are the words about it.
export const maskPart = (context, why) =>
  make("div", {}, make("h3", {}, "The mask"), make("p", {}, why), context.live((now) => masks(context, now)));

function masks({ found, state }, now) {
  const kinds = kindsOf(found);
  const shapes = kinds.map((kind) => shapeOf(found, kind));
  const longest = Math.max(...shapes.flatMap(({ queries, keys }) => [queries, keys]));
  const isNarrow = document.documentElement.clientWidth < NARROW.page;
  const side = isNarrow ? NARROW.side : SIDE;
  const names = { ...SHORT_KINDS, ...(isNarrow ? NARROW.names : {}) };
  const cell = side / longest;
  const height = HEAD + cell * Math.max(...shapes.map(({ queries }) => queries)) + 24;
  const width = (side + GAP) * kinds.length;
  const svg = draw("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "group" });
  const left = (i) => 2 + (side + GAP) * i;
  kinds.forEach((kind, i) => svg.append(...mask(names[kind], shapes[i], left(i), cell, kind === now.kind)));
  const caption = "Which cells exist for this sentence. A row is a query, a column a key";
  return figure({ id: "masks", caption }, readable(svg, {
    key: "masks", rows: 1, columns: kinds.length, chosen: [0, kinds.indexOf(now.kind)],
    choose: (_, i) => state.set({ chapter: CHAPTERS[kinds[i]] }), describe: (_, i) => about(kinds[i], shapes[i]),
    box: (j, i) => (kinds[i] && !j
      ? { x: left(i) - 2, y: HEAD - 2, width: cell * shapes[i].keys + 4, height: cell * shapes[i].queries + 4 } : null),
    find: (x) => { const i = Math.floor(x / (side + GAP)); return kinds[i] ? [0, i] : null; },
  }));
}

// The number of queries and keys, and how many keys each query may attend to.
function shapeOf(found, kind) {
  const [queries, keys] = [queryTokens(found, kind).length, keyTokens(found, kind).length];
  const allowed = Array.from({ length: queries }, (_, i) =>
    Array.from({ length: keys }, (_, j) => j).filter((j) => !isMasked(kind, i, j)).length);
  return { queries, keys, allowed, cells: allowed.reduce((sum, count) => sum + count, 0) };
}

const about = (kind, { queries, keys, cells }) => `${KINDS[kind]}: ${whole(cells)} of ${whole(queries * keys)} cells exist`;

function mask(name, { queries, keys, allowed, cells }, x, cell, isHere) {
  const stairs = allowed.map((count, i) => `M${x} ${HEAD + cell * i}h${cell * count}v${cell}H${x}z`).join("");
  const grid = [
    ...Array.from({ length: queries + 1 }, (_, i) => `M${x} ${HEAD + cell * i}h${cell * keys}`),
    ...Array.from({ length: keys + 1 }, (_, j) => `M${x + cell * j} ${HEAD}v${cell * queries}`),
  ].join("");
  return [
    draw("text", { class: isHere ? "strong" : null, x, y: 15 }, name),
    draw("path", { class: "positive", "fill-opacity": isHere ? 0.75 : 0.35, d: stairs }),
    draw("path", { class: "grid", d: grid }),
    draw("text", { class: "axis", x, y: HEAD + cell * queries + 17 }, `${whole(cells)} of ${whole(queries * keys)}`),
  ];
}
