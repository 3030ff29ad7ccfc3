// Drawings of numbers as coloured cells: heat maps, matrices and vectors. Blue cells are above 0, orange ones below. The darker
// a cell, the larger its number.
import { draw, make } from "../../elements.js";
import { number } from "./numbers.js";
import { readable } from "./pointing.js";

const MOST_SHAPES = 1600; // more cells are drawn as one image, which is faster
const CELL = { least: 16, most: 24, all: 700 }; // pixels of a cell with labels, and of all columns if they may be small
const LETTER = 7.8; // width of a letter, in a wide font
const LONGEST = 16; // letters of a label
const NUMBER_WIDTH = 34; // of a cell that shows its number
const LEGEND = 34;
const PALEST = 0.04; // opacity of a cell with 0

function squares(columns) {
  const side = Math.max(CELL.least, Math.min(CELL.most, Math.floor(CELL.all / columns)));
  return [side, side];
}

const short = (label) => ([...label].length > LONGEST ? `${[...label].slice(0, LONGEST - 1).join("")}…` : label);
const widest = (labels) => LETTER * Math.max(0, ...labels.map((label) => [...short(label)].length));

function largest(values) {
  let found = 0;
  for (const value of values) if (Number.isFinite(value)) found = Math.max(found, Math.abs(value));
  return found || 1;
}

// Draws a matrix, a Tensor [rows, columns].
//   rows, columns: the labels, or null; rowName, columnName: what the axes are;
//   limit: the number of the darkest colour; text(number): how the legend writes it; cell: [width, height] of a cell; isMasked(row, column): true for a crossed cell;
//   describe(row, column, value): the text about a cell; choose(row, column): called if a cell is chosen.
export function heatMap({ key, values, rows = null, columns = null, rowName = "", columnName = "", limit = largest(values.data),
  text = number, cell = squares(values.shape[1]), isMasked = () => false, describe, choose = null, chosen = null }) {
  const [height, width] = values.shape;
  const left = (rows ? widest(rows) + 12 : 0) + (rowName ? 22 : 0) + 2;
  const top = (columns ? 0.9 * widest(columns) + 16 : 0) + (columnName ? 22 : 0) + 2;
  const right = columns ? 0.5 * widest(columns) : 2; // slanted labels
  const svg = canvas(Math.max(left + cell[0] * width + right, 220), top + cell[1] * height + LEGEND);
  const area = { x: left, y: top, cell, height, width };
  if (columnName) svg.append(draw("text", { class: "axis", x: left, y: 14 }, columnName));
  const below = top + cell[1] * height;
  if (rowName) svg.append(draw("text", { class: "axis", transform: `translate(13 ${below}) rotate(-90)` }, rowName));
  columns?.forEach((label, j) => svg.append(draw("text", {
    class: chosen?.[1] === j ? "strong" : null, transform: `translate(${left + cell[0] * (j + 0.6)} ${top - 6}) rotate(-60)`,
  }, short(label))));
  rows?.forEach((label, i) => svg.append(draw("text", {
    class: chosen?.[0] === i ? "strong" : null, x: left - 8, y: top + cell[1] * (i + 0.5) + 5, "text-anchor": "end",
  }, short(label))));
  svg.append(cells(area, (i, j) => values.at(i, j), () => limit, isMasked));
  svg.append(legend(left, below + 10, limit, values.data.some((value) => value < 0), text));
  return readable(svg, { key, ...reading(area), choose, chosen, describe: (i, j) => describe(i, j, values.at(i, j)) });
}

// Draws vectors below each other, `lines` of {label, values}, so that their numbers at the same index are in one column.
//   describe(line, index, value): the text about a cell; limit: as above, if it is the same for all vectors;
//   hasNumbers: true to write the numbers into the cells.
export function vectors({ key, lines, describe, limit = null, cell = [12, 26], gap = 8, hasNumbers = false }) {
  const width = lines[0].values.length;
  const left = widest(lines.map((line) => line.label)) + 12;
  const used = hasNumbers ? [Math.max(NUMBER_WIDTH, cell[0]), cell[1]] : cell;
  const limits = lines.map((line) => limit ?? largest(line.values));
  const svg = canvas(left + used[0] * width + 70, (used[1] + gap) * lines.length + 4);
  const area = { x: left, y: 2, cell: used, gap, height: lines.length, width };
  lines.forEach((line, i) => {
    const y = 2 + (used[1] + gap) * i + used[1] / 2 + 5;
    const range = limit && i ? "" : `±${number(limits[i])}`;
    svg.append(draw("text", { x: left - 8, y, "text-anchor": "end" }, short(line.label)),
      draw("text", { class: "axis", x: left + used[0] * width + 8, y }, range));
  });
  svg.append(cells(area, (i, j) => lines[i].values[j], (i) => limits[i], () => false, hasNumbers));
  return readable(svg, { key, ...reading(area), describe: (i, j) => describe(i, j, lines[i].values[j]) });
}

// Draws one long vector in lines of `perLine` cells.
export function longVector({ key, values, describe, perLine, cell = [12, 18] }) {
  const height = Math.ceil(values.length / perLine);
  const limit = largest(values);
  const svg = canvas(Math.max(perLine * cell[0] + 4, 220), (cell[1] + 2) * height + LEGEND);
  const area = { x: 2, y: 2, cell, gap: 2, height, width: perLine };
  svg.append(cells(area, (i, j) => values[perLine * i + j], () => limit));
  svg.append(legend(2, (cell[1] + 2) * height + 10, limit, values.some((value) => value < 0)));
  const { box, find, ...size } = reading(area);
  const exists = (i, j) => perLine * i + j < values.length;
  return readable(svg, {
    key, ...size, box: (i, j) => (exists(i, j) ? box(i, j) : null),
    find: (x, y) => { const found = find(x, y); return found && exists(...found) ? found : null; },
    describe: (i, j) => describe(perLine * i + j, values[perLine * i + j]),
  });
}

// Draws a matrix without labels and without numbers to read, for a picture beside other things. More than `most` cells are
// drawn as one image.
export function thumbnail(values, width, height, limit = largest(values.data), most = MOST_SHAPES) {
  const [rows, columns] = values.shape;
  const area = { x: 0, y: 0, cell: [width / columns, height / rows], height: rows, width: columns, most };
  return cells(area, (i, j) => values.at(i, j), () => limit);
}

const canvas = (width, height) => draw("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "group" });

// Where the cells of an area are, for `readable`.
function reading({ x, y, cell, gap = 0, height, width }) {
  const step = cell[1] + gap;
  const exists = (i, j) => i >= 0 && i < height && j >= 0 && j < width;
  return {
    rows: height, columns: width,
    box: (i, j) => (exists(i, j) ? { x: x + cell[0] * j, y: y + step * i, width: cell[0], height: cell[1] } : null),
    find: (px, py) => {
      const [i, j] = [Math.floor((py - y) / step), Math.floor((px - x) / cell[0])];
      return exists(i, j) && py - y - step * i <= cell[1] ? [i, j] : null;
    },
  };
}

function cells(area, value, limit, isMasked = () => false, hasNumbers = false) {
  const group = draw("g", { class: "cells" });
  if (area.height * area.width > (area.most ?? MOST_SHAPES) && !area.gap) {
    group.append(image(area, value, limit));
    return group;
  }
  const step = area.cell[1] + (area.gap ?? 0);
  const space = area.cell[0] > 6 && area.cell[1] > 6 ? 1 : 0;
  for (let i = 0; i < area.height; i++) {
    for (let j = 0; j < area.width; j++) {
      const shown = value(i, j);
      if (shown === undefined) continue;
      const place = { x: area.x + area.cell[0] * j, y: area.y + step * i };
      const size = { width: area.cell[0] - space, height: area.cell[1] - space };
      group.append(draw("rect", { ...place, ...size, ...colour(shown / limit(i)) }));
      if (isMasked(i, j)) group.append(cross(place, area.cell));
      if (hasNumbers) group.append(cellNumber(place, area.cell, shown, Math.abs(shown / limit(i))));
    }
  }
  return group;
}

const opacity = (strength) => Math.max(PALEST, Math.min(1, Math.abs(strength)));

function colour(strength) {
  if (!Number.isFinite(strength)) return { class: "none" };
  return { class: strength < 0 ? "negative" : "positive", "fill-opacity": opacity(strength).toFixed(3) };
}

function cross({ x, y }, [width, height]) {
  const [left, right, top, bottom] = [x + 0.3 * width, x + 0.7 * width, y + 0.3 * height, y + 0.7 * height];
  return draw("path", { class: "masked", d: `M${left} ${top}L${right} ${bottom}M${right} ${top}L${left} ${bottom}` });
}

const cellNumber = ({ x, y }, [width, height], value, strength) => draw("text", {
  class: strength > 0.6 ? "cell-number on" : "cell-number", x: x + width / 2, y: y + height / 2 + 4, "text-anchor": "middle",
}, number(value, 2));

// The cells as an image with one pixel for each cell, which the browser enlarges.
function image({ x, y, cell, height, width }, value, limit) {
  const colours = ["var(--positive)", "var(--negative)"].map(resolved);
  const picture = Object.assign(document.createElement("canvas"), { width, height });
  const context = picture.getContext("2d");
  for (let i = 0; i < height; i++) {
    for (let j = 0; j < width; j++) {
      const strength = value(i, j) / limit(i);
      context.globalAlpha = opacity(strength);
      context.fillStyle = colours[strength < 0 ? 1 : 0];
      if (Number.isFinite(strength)) context.fillRect(j, i, 1, 1);
    }
  }
  return draw("image", {
    x, y, width: cell[0] * width, height: cell[1] * height, href: picture.toDataURL(), "image-rendering": "pixelated",
    preserveAspectRatio: "none",
  });
}

// The colour that a variable of the stylesheet has now.
function resolved(variable) {
  const probe = document.body.appendChild(make("span"));
  probe.style.color = variable;
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

// What the colours stand for.
function legend(x, y, limit, hasNegative, text = number) {
  const group = draw("g", { class: "legend" });
  const shades = hasNegative ? [-1, -0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75, 1] : [0, 0.25, 0.5, 0.75, 1];
  const start = hasNegative ? text(-limit) : "0";
  const from = x + LETTER * start.length + 10;
  group.append(draw("text", { class: "axis", x, y: y + 12 }, start));
  shades.forEach((shade, i) => group.append(draw("rect", { x: from + 12 * i, y, width: 12, height: 14, ...colour(shade) })));
  group.append(draw("text", { class: "axis", x: from + 12 * shades.length + 6, y: y + 12 }, text(limit)));
  return group;
}
