// A vector that becomes wider and narrow again, with its numbers as colours.
import { draw } from "../../../elements.js";
import { Tensor } from "../../arrays.js";
import { number, thumbnail, whole } from "../../charts.js";
import { readable } from "../../drawing/pointing.js";

const { d3 } = globalThis; // charts.js loads it

const HEIGHT = 32; // of a vector
const GAP = 64; // between two vectors
const LEGEND = 150; // pixels for the words beside the vectors
const LEAST = 130;

// Draws the input, the inner units and the output of a feed-forward network, each as wide as its numbers are many.
export function network(input, inner, output, room) {
  const width = Math.max(LEAST, room - LEGEND);
  const vectors = [["input", input], ["inner units", inner], ["output", output]].map(([name, values], i) => {
    const size = width * values.length / inner.length;
    return { name, values, size, x: (width - size) / 2, y: 2 + i * (HEIGHT + GAP) };
  });
  const height = vectors.at(-1).y + HEIGHT + 4;
  const svg = draw("svg", { width: width + LEGEND, height, viewBox: `0 0 ${width + LEGEND} ${height}`, role: "group" });
  svg.append(matrix(vectors[0], vectors[1], "W₁, b₁, activation"), matrix(vectors[1], vectors[2], "W₂, b₂"));
  for (const { name, values, size, x, y } of vectors) {
    const picture = thumbnail(new Tensor([1, values.length], values), size, HEIGHT);
    picture.setAttribute("transform", `translate(${x} ${y})`);
    svg.append(picture,
      draw("text", { x: width + 12, y: y + 13 }, name),
      draw("text", { class: "axis", x: width + 12, y: y + 29 }, `${whole(values.length)} numbers`));
  }
  return readable(svg, {
    key: "network", rows: vectors.length, columns: 1,
    box: (i, j) => (vectors[i] && !j ? { x: vectors[i].x, y: vectors[i].y, width: vectors[i].size, height: HEIGHT } : null),
    find: (px, py) => {
      const i = vectors.findIndex(({ x, y, size }) => px >= x && px < x + size && py >= y && py < y + HEIGHT);
      return i < 0 ? null : [i, 0];
    },
    describe: (i) => about(vectors[i]),
  });
}

// The area between two vectors stands for the matrix that leads from one to the other.
function matrix(from, to, words) {
  const corners = [[from.x, from.y + HEIGHT], [from.x + from.size, from.y + HEIGHT], [to.x + to.size, to.y], [to.x, to.y]];
  return draw("g", {},
    draw("path", { class: "matrix", d: d3.line()(corners) }),
    draw("text", {
      class: "axis", x: (corners[0][0] + corners[1][0]) / 2, y: (from.y + HEIGHT + to.y) / 2 + 4, "text-anchor": "middle",
    }, words));
}

function about({ name, values }) {
  const [least, most] = d3.extent(values);
  return `${name}: ${whole(values.length)} numbers from ${number(least)} to ${number(most)}`;
}
