// The paths between two tokens in a recurrent layer and in self-attention.
import { draw } from "../../../elements.js";
import { whole } from "../../charts.js";
import { readable } from "../../drawing/pointing.js";

const { d3 } = globalThis; // charts.js loads it

const LETTER = 8.6; // pixels
const LEAST = 30; // width of a token
const GAP = 14;
const NODE = 26; // height
const ROWS = [{ name: "Recurrent layer", y: 40 }, { name: "Self-attention", y: 190 }];
const RISE = 66; // from a token to the output above it
const HEIGHT = 296;

// Draws the layers above the tokens, with the way from token `from` to token `to`, of which `from` is the first.
//   choose(index): called if a token is chosen.
export function paths(tokens, from, to, choose) {
  let left = 4;
  const places = tokens.map((token) => {
    const width = Math.max(LEAST, LETTER * [...token].length + 14);
    const place = { token, x: left, width, centre: left + width / 2 };
    left += width + GAP;
    return place;
  });
  const width = left - GAP + 4;
  const svg = draw("svg", { class: "paths", width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, role: "group" });
  for (const { name, y } of ROWS) svg.append(draw("text", { class: "axis", x: 4, y: y - 22 }, name));
  svg.append(...chain(places, from, to), ...direct(places, from, to));
  places.forEach((place, i) => {
    const isEnd = i === from || i === to;
    svg.append(...state(place, ROWS[0].y, i >= from && i <= to, isEnd), ...state(place, ROWS[1].y, i === to, isEnd));
  });
  return readable(svg, {
    key: "paths", choose: (_, j) => choose(j), rows: ROWS.length, columns: tokens.length,
    box: (i, j) => (ROWS[i] && places[j]
      ? { x: places[j].x, y: ROWS[i].y - NODE / 2, width: places[j].width, height: NODE } : null),
    find: (x, y) => {
      const i = ROWS.findIndex((row) => y >= row.y - NODE && y <= row.y + RISE + NODE);
      const j = places.findIndex((place) => x >= place.x && x < place.x + place.width);
      return i < 0 || j < 0 ? null : [i, j];
    },
    describe: (i, j) => about(i, j, tokens, from),
  });
}

function about(row, place, tokens, from) {
  if (row) return `The output at ${tokens[place]} reads ${tokens[from]} in 1 step`;
  if (place < from) return `The state after ${tokens[place]} does not know ${tokens[from]} yet`;
  const steps = place - from;
  return `The state after ${tokens[place]} got ${tokens[from]} in ${whole(steps)} ${steps === 1 ? "step" : "steps"}`;
}

// The output of a layer at a position, and the token below it.
function state({ token, x, width, centre }, y, isOnPath, isEnd) {
  return [
    draw("rect", { class: isOnPath ? "state on" : "state", x, y: y - NODE / 2, width, height: NODE, rx: NODE / 2 }),
    draw("text", { class: isEnd ? "strong" : null, x: centre, y: y + RISE + 5, "text-anchor": "middle" }, token),
  ];
}

function chain(places, from, to) {
  const { y } = ROWS[0];
  const lines = places.map(({ centre }) => line([centre, y + RISE - 12], [centre, y + NODE / 2], "edge"));
  places.slice(1).forEach(({ x }, i) => {
    const before = places[i];
    lines.push(line([before.x + before.width, y], [x, y], i >= from && i < to ? "edge on" : "edge"));
  });
  lines.push(line([places[from].centre, y + RISE - 12], [places[from].centre, y + NODE / 2], "edge on"));
  return lines;
}

function direct(places, from, to) {
  const { y } = ROWS[1];
  const end = [places[to].centre, y + NODE / 2];
  const lines = places.map(({ centre }) => line([centre, y + RISE - 12], end, "edge"));
  return [...lines, line([places[from].centre, y + RISE - 12], end, "edge on")];
}

const line = (from, to, name) => draw("path", { class: name, d: d3.line()([from, to]) });
