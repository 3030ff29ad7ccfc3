// One number of a query, key or value: the products that it is the sum of.
import { make } from "../../../elements.js";
import { sum } from "../../arrays.js";
import { bars, choices, figure, number, slider } from "../../charts.js";
import { equation, row, sub, sup, total } from "../../equations.js";
import { entryOf, LETTERS, vectorOf, VECTORS } from "./projected.js";

const { d3 } = globalThis; // charts.js loads it
const LARGEST = 10; // products that are shown
const NARROW = 600; // a page of fewer pixels is narrow
const NAMES = ["Query", "Key", "Value"];

// What chooses the vector and the number.
export function entryControls({ live, state }, width) {
  return [
    live((now) => make("div", { class: "controls" }, choices({
      key: "vector", label: "Vector", options: NAMES, chosen: VECTORS.indexOf(vectorOf(now)),
      choose: (i) => state.set({ vector: VECTORS[i] }),
    }))),
    slider({
      live, key: "entry", label: "Number", most: () => width - 1, read: (now) => entryOf(now, width),
      write: (dimension) => state.set({ dimension }), text: (now) => `${entryOf(now, width) + 1} of ${width}`,
    }),
  ];
}

// The products of the numbers of x and the weights, and their sum.
export function entry(now, parts) {
  const name = vectorOf(now);
  const { input, matrix, bias, result, token } = parts[name];
  const [height, width] = matrix.shape;
  const i = entryOf(now, width);
  const products = input.map((value, j) => value * matrix.at(j, i));
  const order = d3.range(height).sort((a, b) => Math.abs(products[b]) - Math.abs(products[a]));
  const shown = order.slice(0, LARGEST);
  const [letter, index] = LETTERS[name];
  const hasBias = bias.some((value) => value !== 0);
  const weight = sup(sub("W", row("j", ",", String(i + 1))), index);
  const factors = (j) => `${number(input[j])} × ${number(matrix.at(j, i))} = ${number(products[j])}`;
  const isNarrow = document.documentElement.clientWidth < NARROW;
  const caption = `The ${shown.length} largest of the ${height} products in number ${i + 1} of the ${name} of ${token}`;
  return make("div", {},
    make("p", {}, `Number ${i + 1} of the ${name} of ${token} sums ${height} products${hasBias ? " and a bias" : ""}: ` +
      `each number of x times the weight in column ${i + 1} of the matrix, which is row ${i + 1} of the picture. The matrix of the ` +
      `${name} has ${height} × ${width} weights.`),
    equation("", sub(letter, String(i + 1)), "=", total(row("j", "=", "1"), String(height)), sub("x", "j"), weight,
      ...(hasBias ? ["+", sub("b", String(i + 1))] : []), "=", number(result[i])),
    figure({ id: "products", caption }, bars({
      key: "products", describe: (_, at) => `x, number ${shown[at] + 1}, times its weight: ${factors(shown[at])}`,
      items: shown.map((j) => ({ label: `j = ${j + 1}`, value: products[j], text: isNarrow ? number(products[j]) : factors(j) })),
    })),
    sums([
      [`the ${shown.length} largest products`, sum(shown.map((j) => products[j]))],
      [`the other ${height - shown.length} products`, sum(order.slice(shown.length).map((j) => products[j]))],
      ...(hasBias ? [["the bias", bias[i]]] : []),
    ], `number ${i + 1} of the ${name}`));
}

function sums(rows, name) {
  const line = ([label, value]) =>
    make("tr", {}, make("th", { scope: "row" }, label), make("td", { class: "number" }, number(value)));
  return make("div", { class: "scroll" }, make("table", { class: "numbers", id: "entry" },
    make("caption", {}, "The sum in parts"),
    make("tbody", {}, ...rows.map(line)),
    make("tfoot", {}, line([name, sum(rows.map(([, value]) => value))]))));
}
