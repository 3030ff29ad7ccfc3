// Small pictures of matrices side by side, each with a title and a line about it.
import { draw } from "../../elements.js";
import { thumbnail } from "./grids.js";
import { readable } from "./pointing.js";

const MOST_SHAPES = 3000; // in all pictures; more cells are drawn as images
const TITLE = 20; // pixels
const TEXT = 20;
const GAP = [24, 14];
const SIDE = 78; // of the names of the rows

// Draws `items`, {title, text, values: Tensor}, in lines of `perLine`.
//   side: the pixels of the longer side of a picture; limit: the number of the darkest colour; names: of the lines, or null;
//   describe(index); choose(index); chosen: an index.
export function multiples({ key, items, perLine, side, limit, names = null, chosen, choose, describe }) {
  const [rows, columns] = items[0].values.shape;
  const cell = side / Math.max(rows, columns);
  const size = { width: cell * columns, height: cell * rows };
  const left = names ? SIDE : 2;
  const step = [side + GAP[0], TITLE + size.height + TEXT + GAP[1]];
  const lines = Math.ceil(items.length / perLine);
  const [width, height] = [left + step[0] * Math.min(perLine, items.length), step[1] * lines + 2];
  const svg = draw("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "group" });
  const place = (i) => [left + step[0] * (i % perLine), step[1] * Math.floor(i / perLine)];
  items.forEach(({ title, text, values }, i) => {
    const [x, y] = place(i);
    const picture = thumbnail(values, size.width, size.height, limit, MOST_SHAPES / items.length);
    picture.setAttribute("transform", `translate(${x} ${y + TITLE})`);
    svg.append(
      draw("text", { class: i === chosen ? "strong" : null, x, y: y + 14 }, title), picture,
      draw("rect", { class: "ring", x: x - 0.5, y: y + TITLE - 0.5, width: size.width + 1, height: size.height + 1 }),
      draw("text", { class: "axis note", x, y: y + TITLE + size.height + 16 }, text));
  });
  names?.forEach((name, line) => svg.append(draw("text", {
    class: "axis", x: left - 12, y: step[1] * line + TITLE + size.height / 2 + 5, "text-anchor": "end",
  }, name)));
  const box = (line, j) => {
    const i = line * perLine + j;
    if (line < 0 || j < 0 || j >= perLine || i >= items.length) return null;
    const [x, y] = place(i);
    return { x: x - 2, y: y + TITLE - 2, width: size.width + 4, height: size.height + 4 };
  };
  return readable(svg, {
    key, rows: lines, columns: perLine, box, chosen: [Math.floor(chosen / perLine), chosen % perLine],
    choose: (line, j) => choose(line * perLine + j), describe: (line, j) => describe(line * perLine + j),
    find: (px, py) => {
      const [line, j] = [Math.floor(py / step[1]), Math.floor((px - left) / step[0])];
      return box(line, j) && px >= left && px - left - step[0] * j <= side ? [line, j] : null;
    },
  });
}
