// How similar the encodings of positions are: a matrix of all pairs, and a curve over the distance.
import { make } from "../../../elements.js";
import { dot, norm, Tensor } from "../../arrays.js";
import { figure, heatMap, lineChart, number } from "../../charts.js";

const MATRIX = 260; // pixels, about
const CELLS = [3, 22]; // the smallest and the largest cell

export function similarity(encodings, now, state) {
  const [count] = encodings.shape;
  const rows = Array.from({ length: count }, (_, i) => encodings.row(i));
  const cosine = (i, j) => dot(rows[i], rows[j]) / norm(rows[i]) / norm(rows[j]);
  const values = new Tensor([count, count], Float32Array.from(rows.flatMap((_, i) => rows.map((_, j) => cosine(i, j)))));
  const chosen = now.query;
  const side = Math.max(CELLS[0], Math.min(CELLS[1], Math.floor(MATRIX / count)));
  const about = (i, j, value) => `positions ${i} and ${j}, distance ${Math.abs(i - j)}: cosine ${number(value)}`;
  const places = rows.map((_, j) => j - chosen);
  const series = [{ name: `position ${chosen}`, values: [...values.row(chosen)] }];
  return make("div", {},
    make("p", {}, "The cosine of two encodings depends only on the distance of their positions: each diagonal of the matrix " +
      "has one colour, and the curve keeps its shape if another position is chosen. It is 1 for the same position, " +
      `${number(cosine(0, Math.min(1, count - 1)))} for neighbours and ${number(cosine(0, count - 1))} at distance ` +
      `${count - 1}. The dot product is the cosine times d / 2 = ${number(encodings.shape[1] / 2)}, because all encodings have ` +
      "the same length."),
    figure({ id: "similar-matrix", caption: "The cosines of all pairs of positions" }, heatMap({
      key: "similar-matrix", values, limit: 1, cell: [side, side], rowName: "position", columnName: "position",
      chosen: [chosen, chosen], choose: (i) => state.set({ query: Math.min(i, now.queries.length - 1) }), describe: about,
    })),
    figure({ id: "similar-positions", caption: `The cosine of position ${chosen} and the other positions` }, lineChart({
      key: "similar-positions", series, places, across: "distance", up: "cosine",
      describe: (_, j) => about(chosen, j, values.at(chosen, j)),
    })));
}
