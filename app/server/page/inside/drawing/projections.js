// A vector times matrices: the vector above, the transposed matrices below it, so that each number is above the column that
// it is multiplied by. Each row of a matrix makes one number of the result, on the right.
import { draw } from "../../elements.js";
import { Tensor } from "../arrays.js";
import { thumbnail } from "./grids.js";
import { readable } from "./pointing.js";

const WIDTHS = { narrow: 218, medium: 560, wide: 640 }; // of a matrix
const WINDOW = { narrow: 600, medium: 1150 }; // pages of fewer pixels
const STRIP = 18; // pixels: the height of the vector, and the width of a result
const SPACE = 30; // between a matrix and its result
const HEADING = 22;
const MATRIX = 170; // height of a matrix, about
const TALLEST = 12; // row

function widthOfMatrix() {
  const page = document.documentElement.clientWidth;
  return page < WINDOW.narrow ? WIDTHS.narrow : page < WINDOW.medium ? WIDTHS.medium : WIDTHS.wide;
}

// Draws `input`, {label, values [D]}, and `maps`, each {label: nodes, matrix: Tensor [D, d], result: {label, values [d]}}.
//   chosen: [map, entry] or null; choose(map, entry); describe(map, entry, j): the text about a number of a matrix, or about
//   a result if j is null; if map is null, about the number j of the input.
export function projections({ key, input, maps, chosen = null, choose, describe }) {
  const count = input.values.length;
  const size = maps[0].matrix.shape[1];
  const width = widthOfMatrix();
  const row = Math.max(2, Math.min(TALLEST, Math.floor(MATRIX / size)));
  const block = HEADING + row * size + 12;
  const first = HEADING + STRIP + 10;
  const right = width + SPACE;
  const height = first + block * maps.length;
  const total = right + Math.max(STRIP, 8 * Math.max(...maps.map(({ result }) => result.label.length))) + 8;
  const svg = draw("svg", { width: total, height, viewBox: `0 0 ${total} ${height}`, role: "group" });
  const place = (group, x, y) => { group.setAttribute("transform", `translate(${x} ${y})`); return group; };
  svg.append(draw("text", { class: "axis", x: 1, y: 15 }, input.label),
    place(thumbnail(new Tensor([1, count], input.values), width, STRIP), 1, HEADING));
  maps.forEach(({ label, matrix, result }, m) => {
    const top = first + block * m;
    const middle = top + HEADING + (row * size) / 2;
    svg.append(
      draw("text", { class: "axis", x: 1, y: top + 15 }, ...label),
      draw("text", { class: m === chosen?.[0] ? "strong" : null, x: right, y: top + 15 }, result.label),
      place(pictureOf(matrix, width, row * size), 1, top + HEADING),
      draw("text", { x: width + SPACE / 2, y: middle + 5, "text-anchor": "middle" }, "="),
      place(thumbnail(new Tensor([size, 1], result.values), STRIP, row * size), right, top + HEADING));
  });
  const at = (m, i) => first + block * m + HEADING + row * i;
  if (chosen) svg.append(draw("rect", { class: "chosen", x: 1, y: at(...chosen) - 1, width, height: row + 2 }));
  const rows = 1 + size * maps.length; // the input, then all rows of all matrices
  const of = (i) => [Math.floor((i - 1) / size), (i - 1) % size];
  return readable(svg, {
    key, rows, columns: count + 1, chosen: chosen && [1 + chosen[0] * size + chosen[1], count],
    choose: (i) => { if (i) choose(...of(i)); },
    describe: (i, j) => (i ? describe(...of(i), j === count ? null : j) : describe(null, null, j)),
    box: (i, j) => {
      if (i < 0 || i >= rows || j < 0 || j > count || (!i && j === count)) return null;
      const x = j === count ? right : 1 + (width / count) * j;
      const size = j === count ? STRIP : Math.max(3, width / count);
      return i ? { x, y: at(...of(i)), width: size, height: row } : { x, y: HEADING, width: size, height: STRIP };
    },
    find: (x, y) => {
      const j = x >= right && x < right + STRIP ? count : Math.floor(((x - 1) * count) / width);
      if (j < 0 || j > count || (j === count && x < right)) return null;
      if (y >= HEADING && y < HEADING + STRIP) return j < count ? [0, j] : null;
      const m = Math.floor((y - first) / block);
      const i = Math.floor((y - at(m, 0)) / row);
      return m >= 0 && m < maps.length && i >= 0 && i < size ? [1 + size * m + i, j] : null;
    },
  });
}

const pictures = new WeakMap(); // the newest of each matrix, because a slider draws the same ones many times

function pictureOf(matrix, width, height) {
  const name = `${width} ${height} ${matchMedia("(prefers-color-scheme: dark)").matches}`;
  if (pictures.get(matrix)?.name !== name) pictures.set(matrix, { name, drawn: thumbnail(transposed(matrix), width, height) });
  return pictures.get(matrix).drawn.cloneNode(true);
}

function transposed({ shape: [rows, columns], data }) {
  const values = new Float32Array(data.length);
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) values[j * rows + i] = data[i * columns + j];
  return new Tensor([columns, rows], values);
}
