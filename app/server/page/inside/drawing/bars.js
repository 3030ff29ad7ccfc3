// Bars with labels and numbers, and lines over a number.
import { draw } from "../../elements.js";
import { number } from "./numbers.js";
import { readable } from "./pointing.js";

const { d3 } = globalThis;
const ROW = 28; // pixels
const LETTER = 10.4; // of a wide font, when bold
const LONGEST = 18; // letters of a label
const WIDTHS = { narrow: 120, wide: 340 }; // of the longest bar
const NARROW = 600; // a page of fewer pixels is narrow
const CHART = { width: 620, height: 300, left: 58, right: 120, top: 14, bottom: 46 };

const short = (label) => ([...label].length > LONGEST ? `${[...label].slice(0, LONGEST - 1).join("")}…` : label);
const widest = (labels) => LETTER * Math.max(0, ...labels.map((label) => [...short(label)].length));

// Draws a bar for each of `items`: {label, value, text, isFaint}. `text` is written behind the bar, else the value.
//   limit: the value of the longest bar; describe(item, index): the text about a bar; choose(index); chosen: an index.
export function bars({ key, items, limit = null, describe, choose = null, chosen = null }) {
  const finite = items.map((item) => item.value).filter(Number.isFinite);
  const far = limit ?? Math.max(1e-9, ...finite.map(Math.abs));
  const isSigned = finite.some((value) => value < 0);
  const length = WIDTHS[document.documentElement.clientWidth < NARROW ? "narrow" : "wide"];
  const left = widest(items.map((item) => item.label)) + 10;
  const scale = d3.scaleLinear([isSigned ? -far : 0, far], [left, left + length]).clamp(true);
  const texts = items.map((item) => item.text ?? number(item.value));
  const width = left + length + LETTER * Math.max(0, ...texts.map((text) => text.length)) + 20;
  const height = ROW * items.length + 2;
  const svg = draw("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "group" });
  items.forEach((item, i) => {
    const [from, to] = [scale(0), scale(Number.isFinite(item.value) ? item.value : 0)].sort((a, b) => a - b);
    const end = isSigned ? left + length : to;
    svg.append(
      draw("text", {
        class: i === chosen ? "strong" : null, x: left - 8, y: ROW * i + 19, "text-anchor": "end",
      }, short(item.label)),
      Number.isFinite(item.value) ? draw("rect", {
        class: item.value < 0 ? "negative" : "positive", "fill-opacity": item.isFaint ? 0.3 : 1,
        x: from, y: ROW * i + 5, width: Math.max(1, to - from), height: ROW - 10, rx: 2,
      }) : "",
      draw("text", { class: "value", x: end + 8, y: ROW * i + 19 }, texts[i]));
  });
  if (isSigned) svg.append(draw("line", { class: "zero", x1: scale(0), x2: scale(0), y1: 0, y2: ROW * items.length }));
  return readable(svg, {
    key, rows: items.length, columns: 1, choose: choose && ((i) => choose(i)), chosen: chosen === null ? null : [chosen, 0],
    box: (i, j) => (items[i] && !j ? { x: 1, y: ROW * i + 1, width: width - 2, height: ROW - 2 } : null),
    find: (x, y) => (y >= 0 && y < ROW * items.length ? [Math.floor(y / ROW), 0] : null),
    describe: (i) => describe?.(items[i], i) ?? `${items[i].label}: ${texts[i]}`,
  });
}

// Draws lines over a number. `series` are {name, values}, one value for each of `places`, the numbers on the horizontal axis.
//   describe(series, index): the text about a point; mark: a number on the horizontal axis that gets a line.
export function lineChart({ key, series, places, across, up, describe, mark = null }) {
  const { width, height, left, right, top, bottom } = CHART;
  const svg = draw("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "group" });
  const x = d3.scaleLinear(d3.extent(places), [left, width - right]);
  const y = d3.scaleLinear(d3.extent(series.flatMap(({ values }) => [0, ...values])), [height - bottom, top]).nice();
  const axis = (made, shift) => made(d3.select(svg).append("g").attr("class", "axes").attr("transform", `translate(${shift})`));
  axis(d3.axisBottom(x).ticks(Math.min(10, places.length)).tickSizeOuter(0), [0, height - bottom]);
  axis(d3.axisLeft(y).ticks(6).tickSizeOuter(0), [left, 0]);
  svg.append(
    draw("text", { class: "axis", x: (left + width - right) / 2, y: height - 8, "text-anchor": "middle" }, across),
    draw("text", {
      class: "axis", transform: `translate(14 ${(top + height - bottom) / 2}) rotate(-90)`, "text-anchor": "middle",
    }, up));
  const path = d3.line((value, i) => x(places[i]), (value) => y(value)).defined(Number.isFinite);
  series.forEach(({ name, values }, i) => svg.append(
    draw("path", { class: `line line-${i % 6}`, d: path(values) }),
    places.length === 1 ? draw("circle", { class: `point line-${i % 6}`, cx: x(places[0]), cy: y(values[0]), r: 4 }) : "",
    draw("text", { class: `line-name line-${i % 6}`, x: width - right + 6, y: y(values.at(-1)) + 4 }, name)));
  if (mark !== null) {
    const at = x(Math.max(places[0], Math.min(mark, places.at(-1))));
    svg.append(draw("line", { class: "mark", x1: at, x2: at, y1: top, y2: height - bottom }));
  }
  const point = (i, j) => ({ x: x(places[j]) - 4, y: y(series[i].values[j]) - 4, width: 8, height: 8 });
  return readable(svg, {
    key, rows: series.length, columns: places.length,
    box: (i, j) => (series[i]?.values[j] === undefined ? null : point(i, j)),
    find: (px, py) => nearest(x.invert(px), py, places, series, y),
    describe: (i, j) => describe?.(series[i], j) ?? `${series[i].name}, ${across} ${places[j]}: ${number(series[i].values[j])}`,
  });
}

// The [line, index] of the point nearest to the pointer: first the index, then the line.
function nearest(place, py, places, series, y) {
  const j = d3.minIndex(places, (one) => Math.abs(one - place));
  const i = d3.minIndex(series, ({ values }) => Math.abs(y(values[j]) - py));
  return [i, j];
}
