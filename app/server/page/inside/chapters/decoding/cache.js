// The cache of keys and values: which rows it holds at a step, and the rows of one head.
import { draw, make } from "../../../elements.js";
import { figure, number, vectors } from "../../charts.js";
import { readable } from "../../drawing/pointing.js";

const CELL = [26, 15]; // pixels
const GAP = 10; // between layers
const LEFT = 112;
const LETTER = 7.4;
const LONGEST = 14; // letters of a label
const ROWS = ["keys", "values"];
const WIDEST = 560; // pixels of a row of keys
const NARROW = { page: 600, row: 150 };
const CELLS = [3, 12]; // the narrowest and the widest cell of a row

const short = (label) => ([...label].length > LONGEST ? `${[...label].slice(0, LONGEST - 1).join("")}…` : label);

// A row of cells for the keys and one for the values of each layer, a column for each position.
export function cachePicture({ model, state }, now) {
  const { decoder_layers: layers } = model;
  const step = now.query;
  const top = 0.9 * LETTER * Math.max(...now.keys.map((key) => [...short(key)].length)) + 20;
  const block = 2 * CELL[1] + GAP;
  const width = LEFT + CELL[0] * now.keys.length + 40;
  const height = top + block * layers + 2;
  const svg = draw("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "group" });
  const cells = draw("g", { class: "cells" });
  const y = (row) => top + block * Math.floor(row / 2) + CELL[1] * (row % 2);
  const square = (row, position) => ({ x: LEFT + CELL[0] * position, y: y(row), width: CELL[0] - 2, height: CELL[1] - 2 });
  now.keys.forEach((key, position) => {
    svg.append(draw("text", {
      class: position === step ? "strong" : position > step ? "axis" : null, "fill-opacity": position > step ? 0.55 : 1,
      transform: `translate(${LEFT + CELL[0] * (position + 0.6)} ${top - 6}) rotate(-60)`,
    }, short(key)));
    for (let row = 0; row < 2 * layers; row++) {
      const kind = position > step ? "grid" : "positive";
      cells.append(draw("rect", { class: kind, "fill-opacity": position === step ? 1 : 0.32, ...square(row, position), rx: 2 }));
    }
  });
  for (let row = 0; row < 2 * layers; row++) {
    const name = row % 2 ? ROWS[1] : `Layer ${row / 2 + 1}: ${ROWS[0]}`;
    svg.append(draw("text", { class: "axis", x: LEFT - 8, y: y(row) + 11, "text-anchor": "end" }, name));
  }
  svg.append(cells);
  const caption = `The cache at step ${step + 1}: rows in full colour are new, pale ones are read again`;
  return figure({ id: "cache", caption }, readable(svg, {
    key: "cache", rows: 2 * layers, columns: now.keys.length, chosen: [2 * now.layer, step],
    choose: (row, position) => state.set({ query: position, layer: Math.floor(row / 2) }),
    box: (row, at) => (row >= 0 && row < 2 * layers && now.keys[at] !== undefined ? square(row, at) : null),
    find: (px, py) => {
      const [layer, position] = [Math.floor((py - top) / block), Math.floor((px - LEFT) / CELL[0])];
      const row = Math.floor((py - top - block * layer) / CELL[1]);
      const exists = layer >= 0 && layer < layers && row < 2 && position >= 0 && position < now.keys.length;
      return exists ? [2 * layer + row, position] : null;
    },
    describe: (row, at) => `Layer ${Math.floor(row / 2) + 1}, ${ROWS[row % 2]} of ${now.keys[at]}: ${age(at, step)}`,
  }));
}

function age(position, step) {
  if (position > step) return "not computed yet";
  return position === step ? "computed in this step" : `computed in step ${position + 1}, in the cache`;
}

// The keys and the values of the chosen head that exist at this step.
export function rowsOfHead(now, details) {
  return make("div", {}, ...ROWS.map((name) => {
    const values = details[name.slice(0, -1)];
    const [count, width] = values.shape;
    const lines = now.keys.slice(0, now.query + 1).map((label, i) => ({ label, values: values.row(i) }));
    const room = document.documentElement.clientWidth < NARROW.page ? NARROW.row : WIDEST;
    const cell = Math.max(CELLS[0], Math.min(CELLS[1], Math.floor(room / width)));
    const caption = `The ${name} of layer ${now.layer + 1}, head ${now.head + 1}: ${now.query + 1} of ${count} rows`;
    return figure({ id: `cached-${name}`, caption }, vectors({
      key: `cached-${name}`, lines, gap: 2, cell: [cell, 16],
      limit: values.data.reduce((most, value) => Math.max(most, Math.abs(value)), 0),
      describe: (i, j, value) => `${name.slice(0, -1)} of ${now.keys[i]}, number ${j + 1}: ${number(value)}`,
    }));
  }));
}
