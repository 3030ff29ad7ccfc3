// The two waves of a pair of dimensions of the positional encodings, and the same numbers as points on a circle.
import { draw } from "../../elements.js";
import { number } from "./numbers.js";
import { readable } from "./pointing.js";

const { d3 } = globalThis; // numbers.js loads it
const HEIGHT = 230; // pixels of the chart
const [LEFT, TOP, BOTTOM] = [44, 16, 44];
const PLACES = { // where the chart ends on the right, the middle of the circle, and the size of both
  wide: { end: 470, x: 625, y: 101, width: 740, height: HEIGHT },
  narrow: { end: 256, x: 150, y: 334, width: 292, height: 460 }, // the circle is below the chart
};
const NARROW = 600; // a page of fewer pixels is narrow
const RADIUS = 82;
const FINENESS = 6; // points of a curve for each position, and for each turn
const NAMES = ["sin", "cos"];
const REACH = 12; // pixels from a point to the pointer

// Draws the numbers `pair`, two arrays with a number for each position, as points, and the curves through them.
//   rate: the angle by which the waves advance from one position to the next; chosen: a position;
//   describe(line, position): the text about a point; choose(position).
export function waves({ key, pair, rate, chosen, describe, choose }) {
  const count = pair[0].length;
  const places = PLACES[document.documentElement.clientWidth < NARROW ? "narrow" : "wide"];
  const svg = draw("svg", {
    width: places.width, height: places.height, viewBox: `0 0 ${places.width} ${places.height}`, role: "group",
  });
  const x = d3.scaleLinear([0, Math.max(1, count - 1)], [LEFT, places.end]);
  const y = d3.scaleLinear([-1, 1], [HEIGHT - BOTTOM, TOP]);
  const axis = (made, shift) => made(d3.select(svg).append("g").attr("class", "axes").attr("transform", `translate(${shift})`));
  axis(d3.axisBottom(x).ticks(Math.min(8, count)).tickFormat(d3.format("d")).tickSizeOuter(0), [0, HEIGHT - BOTTOM]);
  axis(d3.axisLeft(y).ticks(4).tickSizeOuter(0), [LEFT, 0]);
  svg.append(
    draw("text", { class: "axis", x: (LEFT + places.end) / 2, y: HEIGHT - 6, "text-anchor": "middle" }, "position"),
    draw("line", { class: "zero", x1: LEFT, x2: places.end, y1: y(0), y2: y(0), "stroke-opacity": 0.4 }),
    draw("line", { class: "line", x1: x(chosen), x2: x(chosen), y1: TOP, y2: HEIGHT - BOTTOM, "stroke-opacity": 0.35 }));
  const fine = d3.range(0, count - 1 + 1e-9, 1 / (FINENESS * Math.max(1, Math.ceil(rate))));
  [Math.sin, Math.cos].forEach((wave, line) => svg.append(
    draw("path", { class: `line line-${3 * line}`, d: d3.line((place) => x(place), (place) => y(wave(place * rate)))(fine) }),
    ...[...pair[line]].map((value, i) => draw("circle", {
      class: line ? "negative" : "positive", cx: x(i), cy: y(value), r: i === chosen ? 6 : 3.5,
    })),
    draw("text", { class: "axis", x: places.end + 8, y: y(wave((count - 1) * rate)) + 5 }, NAMES[line])));
  svg.append(...circle(pair, chosen, places));
  return readable(svg, {
    key, rows: 2, columns: count, chosen: [0, chosen], choose: (_, i) => choose(i), describe,
    box: (line, i) => (pair[line]?.[i] === undefined ? null : { x: x(i) - 7, y: y(pair[line][i]) - 7, width: 14, height: 14 }),
    find: (px, py) => {
      const i = Math.max(0, Math.min(count - 1, Math.round(x.invert(px))));
      if (Math.abs(x(i) - px) > REACH) return null;
      return [Math.abs(y(pair[0][i]) - py) <= Math.abs(y(pair[1][i]) - py) ? 0 : 1, i];
    },
  });
}

// Each position as the point (cos, sin) on a circle.
function circle([sines, cosines], chosen, { x, y, height }) {
  const place = (i) => [x + RADIUS * cosines[i], y - RADIUS * sines[i]];
  const [atX, atY] = place(chosen);
  return [
    draw("circle", { class: "ring", cx: x, cy: y, r: RADIUS }),
    draw("line", { class: "line", x1: x, y1: y, x2: atX, y2: atY }),
    ...[...sines].map((_, i) => {
      const [cx, cy] = place(i);
      return draw("circle", { class: "positive", cx, cy, r: i === chosen ? 6 : 3.5, "fill-opacity": i > chosen ? 0.4 : 1 });
    }),
    draw("text", { class: "axis", x, y: height - 6, "text-anchor": "middle" },
      `position ${chosen}: cos ${number(cosines[chosen], 2)}, sin ${number(sines[chosen], 2)}`),
  ];
}
