// The tree of a beam search: a column for each step, a node for each candidate.
import { draw } from "../../../elements.js";
import { percent, thousandths } from "../../charts.js";
import { readable } from "../../drawing/pointing.js";
import { pieceLabel } from "../../tokens.js";
import { lastStep, OUTCOMES, path } from "./candidates.js";

const { d3 } = globalThis; // charts.js loads it

const ROW = 27; // pixels
const NODE = 22; // height
const GAP = 36; // between columns
const LETTER = 9;
const LEAST = 34; // width of a node
const TOP = 30;
const LEFT = 6;

// Where the nodes are: {candidate, x, y, width} in columns, of which the first one has only the start. A column is ordered like
// the column before, so that no lines cross. (A tidy tree would leave room below each candidate for all that follows it: it would
// be many times as high.)
export function layoutOf(steps) {
  const start = { step: -1, rank: 0, piece: "⟨start⟩", sum: 0 };
  const rows = Math.max(...steps.map((candidates) => candidates.length));
  const height = TOP + ROW * rows;
  let left = LEFT;
  let before = new Map([[null, 0]]); // the row of each candidate that can be extended
  const columns = [[start], ...steps].map((candidates, depth) => {
    const row = (candidate) => (depth ? before.get(candidate.parent) : 0);
    const ordered = [...candidates].sort((a, b) => row(a) - row(b) || a.rank - b.rank);
    const width = Math.max(LEAST, ...ordered.map(({ piece }) => LETTER * pieceLabel(piece).length + 14));
    const x = left;
    left += width + GAP;
    if (depth) before = new Map(ordered.map((candidate, i) => [candidate, i]));
    const first = TOP + ROW * (rows - ordered.length + 1) / 2;
    return ordered.map((candidate, i) => ({ candidate, x, y: first + ROW * i, width }));
  });
  return { columns, width: left - GAP + LEFT, height };
}

// Draws the steps up to `last`, counted from 0. `result` is the candidate that is the output.
export function searchTree({ columns, width, height }, last, result) {
  const svg = draw("svg", { class: "search-tree", width, height, viewBox: `0 0 ${width} ${height}`, role: "group" });
  const shown = columns.slice(0, last + 2);
  const marked = new Set(result ? path(result) : []);
  const living = shown.flat().map(({ candidate }) => candidate).filter((candidate) => isAlive(candidate, last));
  const alive = new Set(living.flatMap((candidate) => [...path(candidate)]));
  const places = new Map(shown.flat().map((node) => [node.candidate, node]));
  const root = columns[0][0];
  const edges = shown.slice(1).flat().map((node) =>
    edge(places.get(node.candidate.parent) ?? root, node, kind(node.candidate, marked, alive)));
  edges.sort((a, b) => Number(a.classList.contains("result")) - Number(b.classList.contains("result"))); // on top of the others
  shown.slice(1).forEach(([first], i) => svg.append(draw("text", {
    class: i === last ? "strong" : "axis", x: first.x + first.width / 2, y: 14, "text-anchor": "middle",
  }, String(i + 1))));
  svg.append(...edges, ...shown.flat().map((node) => box(node, node === root ? "result" : kind(node.candidate, marked, alive))));
  const rows = Math.max(...shown.map((nodes) => nodes.length));
  const at = (i, j) => shown[j]?.[Math.min(i, shown[j].length - 1)];
  return readable(svg, {
    key: "search-tree", rows, columns: shown.length,
    box: (i, j) => {
      const node = i >= 0 && i < rows ? at(i, j) : null;
      return node ? { x: node.x, y: node.y - NODE / 2, width: node.width, height: NODE } : null;
    },
    find: (x, y) => {
      const j = shown.findIndex(([first]) => x >= first.x && x < first.x + first.width);
      const i = shown[j]?.findIndex((node) => Math.abs(node.y - y) <= NODE / 2) ?? -1;
      return i < 0 ? null : [i, j];
    },
    describe: (i, j) => about(at(i, j).candidate, result),
  });
}

// True for beams that continue after the last step shown, and for all that are finished.
const isAlive = ({ outcome, step }, last) => outcome === "finished" || (step === last && outcome !== "dropped");

function kind(candidate, marked, alive) {
  const state = candidate.outcome === "finished" ? "finished" : alive.has(candidate) ? "alive" : "dropped";
  return marked.has(candidate) ? `${state} result` : state;
}

function edge(from, to, name) {
  const link = d3.linkHorizontal()({ source: [from.x + from.width, from.y], target: [to.x, to.y] });
  return draw("path", { class: `edge ${name}`, d: link });
}

function box({ candidate, x, y, width }, name) {
  return draw("g", { class: `node ${name}` },
    draw("rect", { x, y: y - NODE / 2, width, height: NODE, rx: candidate.outcome === "finished" ? NODE / 2 : 5 }),
    draw("text", { x: x + width / 2, y: y + 5, "text-anchor": "middle" }, pieceLabel(candidate.piece)));
}

function about(candidate, result) {
  if (candidate.step < 0) return "The start of the search";
  const { piece, step, sum, outcome, parent, score } = candidate;
  const before = parent ? `${thousandths(parent.sum)} + (${thousandths(lastStep(candidate))}) = ` : "";
  const end = score === null ? OUTCOMES[outcome] : `${candidate === result ? "the output" : "finished"}, score ${thousandths(score)}`;
  return `step ${step + 1}, ${pieceLabel(piece)} with probability ${percent(Math.exp(lastStep(candidate)))}: ` +
    `log P = ${before}${thousandths(sum)}; ${end}`;
}
