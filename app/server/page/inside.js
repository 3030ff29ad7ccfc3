// The view for learners: the numbers of the loaded model while it translates one sentence.
import { post } from "./server.js";
import { direction } from "./translate.js";

const SVG = "http://www.w3.org/2000/svg";
const CELL = 26;
const LABEL = 120;
const ROW = 24;
const LEAST_LINE = 0.04;
const MOST_CHARACTERS = 300; // of a sentence that the server explains
const KINDS = {
  cross: ["Encoder-decoder attention", "target", "source"],
  encoder: ["Encoder self-attention", "source", "source"],
  decoder: ["Decoder self-attention", "target", "target"],
};

const at = (id) => document.getElementById(id);
let running = null;

export function startInside(models) {
  at("sentence").value = models[0].examples[0] ?? "Good morning.";
  at("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    look();
  });
  at("tab-inside").addEventListener("click", () => at("views").childElementCount || look());
}

async function look() {
  running?.abort();
  running = new AbortController();
  const asked = direction();
  const characters = [...at("sentence").value];
  const sentence = characters.slice(0, MOST_CHARACTERS).join("");
  at("cut").textContent = "";
  try {
    const found = await post("api/explain", { sentence, ...asked }, running.signal);
    at("cut").textContent = cut(found, characters.length);
    at("views").replaceChildren(said(found, asked), tokens(found), positions(found), attention(found), search(found));
  } catch (error) {
    if (error.name !== "AbortError") at("views").replaceChildren(); // why is said at the top of the page
  }
}

// What is said where not all of the sentence was looked at.
function cut(found, length) {
  if (found.is_cut) return "The model takes no more at once than the beginning that is shown below.";
  return length > MOST_CHARACTERS ? `Only the first ${MOST_CHARACTERS} of ${length} characters are looked at.` : "";
}

function said(found, { source, target }) {
  return make("p", { id: "said" },
    make("bdi", { lang: source }, found.sentence), " → ", make("bdi", { lang: target, id: "said-translation" }, found.translation));
}

// Elements from names, attributes and children; text goes in as text alone.
function make(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

function draw(name, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

const chapter = (title, words, equation, ...children) =>
  make("section", {}, make("h2", {}, title), make("p", {}, words), make("p", { class: "equation" }, equation), ...children);

// "▁" stands for a space; the end of a text has a name of its own.
const spelt = (piece) => (piece === "</s>" ? "⟨end⟩" : piece);

function tokens(found) {
  const list = (name, pieces) =>
    make("ul", { class: "pieces", "aria-label": name }, ...pieces.map((piece) => make("li", { dir: "auto" }, spelt(piece))));
  return chapter(
    "Tokens",
    "The model does not read letters but pieces that it has learnt from its training text; ▁ stands for a space. " +
      "Each piece becomes a vector of numbers, the row of a table that the source, the target and the output share.",
    "x = √d · E[token]   (section 3.4)",
    make("h3", {}, "Source"), list("Source tokens", found.source_pieces),
    make("h3", {}, "Translation"), list("Target tokens", found.target_pieces),
  );
}

function positions(found) {
  const rows = found.positional_encodings;
  const canvas = make("canvas", {
    width: rows[0].length, height: rows.length, role: "img",
    "aria-label": `Positional encodings: ${rows.length} positions, ${rows[0].length} numbers each`,
  });
  const wide = Math.max(1, Math.floor(900 / rows[0].length));
  canvas.style.width = `${wide * rows[0].length}px`;
  canvas.style.height = `${14 * rows.length}px`;
  const context = canvas.getContext("2d");
  const image = context.createImageData(rows[0].length, rows.length);
  rows.flat().forEach((value, i) => image.data.set(shade(value), 4 * i));
  context.putImageData(image, 0, 0);
  return chapter(
    "Positions",
    "Attention alone does not know the order of the words, so each place in the sentence gets a pattern of waves that is " +
      "added to its vector. Each row below is a position, each column one number of it: quick waves left, slow ones right.",
    "PE(pos, 2i) = sin(pos / 10000^(2i/d)),   PE(pos, 2i+1) = cos(pos / 10000^(2i/d))   (section 3.5)",
    make("div", { class: "figure", tabindex: "0" }, canvas),
  );
}

// Blue for -1, white for 0, orange for 1.
function shade(value) {
  const far = value < 0 ? [31, 81, 198] : [222, 120, 20];
  const much = Math.min(1, Math.abs(value));
  return [...far.map((colour) => Math.round(255 + (colour - 255) * much)), 255];
}

function choice(name, options) {
  const select = make("select", {}, ...options.map(([value, text]) => make("option", { value }, text)));
  return [select, make("label", {}, name, " ", select)];
}

function attention(found) {
  const [kind, kindLabel] = choice("Which", Object.entries(KINDS).map(([key, [name]]) => [key, name]));
  const [layer, layerLabel] = choice("Layer", []);
  const [head, headLabel] = choice("Head", []);
  const map = make("div", { class: "figure", tabindex: "0" });
  const lines = make("div", { class: "figure", tabindex: "0" });
  const pieces = { source: found.source_pieces, target: found.target_pieces };

  function show() {
    const [name, rows, columns] = KINDS[kind.value];
    const weights = found[`${kind.value}_attention`];
    const heads = weights[0].length;
    refill(layer, weights.length, weights.length - 2, 1);
    refill(head, heads + 1, 0, 0);
    head.options[0].text = "mean of all";
    const chosen = weights[layer.value];
    const matrix = head.value === "0" ? mean(chosen) : chosen[head.value - 1];
    // In the decoder row t is where the model looks before it says target piece t.
    const from = pieces[rows].map(spelt);
    const into = kind.value === "decoder" ? ["⟨start⟩", ...pieces.target.slice(0, -1).map(spelt)] : pieces[columns].map(spelt);
    map.replaceChildren(heatMap(matrix, from, into, `${name}, layer ${Number(layer.value) + 1}`));
    lines.replaceChildren(lineMap(matrix, from, into, `${name} as lines`));
  }

  for (const select of [kind, layer, head]) select.addEventListener("change", show);
  const view = chapter(
    "Attention",
    "Every token asks with its query, every token offers a key, and the better they fit, the more of that token's value " +
      "flows over. Each row below is a token that looks (in the decoder: the token that is about to be said), each column one that is looked at, and a row sums to 1.",
    "Attention(Q, K, V) = softmax(QKᵀ / √dₖ) V   (Eq. 1)",
    make("div", { class: "bar" }, kindLabel, layerLabel, headLabel), map, lines,
  );
  show();
  return view;
}

// Numbers the options; those that are there already stay as they were chosen.
function refill(select, count, first, start) {
  if (select.options.length === count) return;
  select.replaceChildren(...Array.from({ length: count }, (_, i) => make("option", { value: i }, `${i + start}`)));
  select.value = Math.max(0, first);
}

const mean = (heads) => heads[0].map((row, i) => row.map((_, j) => heads.reduce((sum, head) => sum + head[i][j], 0) / heads.length));

function heatMap(matrix, from, into, label) {
  const width = LABEL + CELL * into.length + 10;
  const svg = draw("svg", { width, height: LABEL + CELL * from.length + 10, role: "img", "aria-label": label, id: "heat-map" });
  into.forEach((piece, j) => svg.append(
    draw("text", { transform: `translate(${LABEL + CELL * j + 17},${LABEL - 6}) rotate(-60)` }, piece)));
  from.forEach((piece, i) => {
    svg.append(draw("text", { x: LABEL - 8, y: LABEL + CELL * i + 18, "text-anchor": "end" }, piece));
    into.forEach((other, j) => {
      const cell = draw("rect", {
        x: LABEL + CELL * j, y: LABEL + CELL * i, width: CELL - 1, height: CELL - 1,
        fill: "var(--accent)", "fill-opacity": Math.max(0.03, matrix[i][j]),
      });
      cell.append(draw("title", {}, `${piece} looks at ${other}: ${percent(matrix[i][j])}`));
      svg.append(cell);
    });
  });
  return svg;
}

function lineMap(matrix, from, into, label) {
  const height = ROW * Math.max(from.length, into.length) + 10;
  const svg = draw("svg", { width: 520, height, role: "img", "aria-label": label });
  from.forEach((piece, i) => svg.append(draw("text", { x: 150, y: ROW * i + 18, "text-anchor": "end" }, piece)));
  into.forEach((piece, j) => svg.append(draw("text", { x: 370, y: ROW * j + 18 }, piece)));
  matrix.forEach((row, i) => row.forEach((weight, j) => {
    if (weight < LEAST_LINE) return;
    svg.append(draw("line", {
      x1: 158, y1: ROW * i + 13, x2: 362, y2: ROW * j + 13,
      stroke: "var(--accent)", "stroke-width": 1 + 4 * weight, "stroke-opacity": weight,
    }));
  }));
  return svg;
}

function percent(share) {
  return `${(100 * share).toFixed(share < 0.01 ? 2 : share < 0.1 ? 1 : 0)} %`;
}

function search(found) {
  const steps = found.candidate_texts.length;
  const beams = Math.max(1, found.candidate_texts[0].length / 2);
  const step = make("input", { type: "range", min: 1, max: steps, value: 1, id: "step" });
  const shown = make("output", { for: "step" });
  const body = make("tbody");

  function show() {
    const i = Number(step.value) - 1;
    let living = 0;
    shown.textContent = `${step.value} of ${steps}`;
    body.replaceChildren(...found.candidate_texts[i].map((text, c) => {
      const piece = found.candidate_pieces[i][c];
      const sum = found.candidate_log_probabilities[i][c];
      if (sum < -1e8) return "";
      const ends = piece === "</s>";
      const lives = !ends && living < beams;
      living += lives;
      const fate = ends ? "ends here" : lives ? "goes on" : "dropped";
      return make("tr", {}, make("td", { dir: "auto" }, text), make("td", { dir: "auto" }, spelt(piece)), make("td", {}, percent(Math.exp(sum))), make("td", {}, fate));
    }));
  }

  step.addEventListener("input", show);
  show();
  const head = make("tr", {}, ...["So far", "New token", "Probability of all", "Then"].map((name) => make("th", { scope: "col" }, name)));
  return chapter(
    "The search",
    `At each step every beam is tried with every token, and the ${2 * beams} best are looked at: those that end are kept aside, ` +
      `the ${beams} best others go on. In the end the hypothesis with the best score wins, its log-probability divided by a penalty for its length.`,
    "score(y) = log P(y | x) / ((5 + |y|) / 6)^α   (section 6.1, Wu et al. 2016)",
    make("p", {}, make("label", { for: "step" }, "Step "), step, " ", shown),
    make("div", { class: "figure", tabindex: "0" }, make("table", { id: "candidates" }, make("thead", {}, head), body)),
  );
}
