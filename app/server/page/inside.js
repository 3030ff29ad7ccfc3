// The view "Inside the Transformer": the values inside the loaded model while it translates one sentence.
import { at, draw, make } from "./elements.js";
import { post } from "./server.js";
import { capitalized, task } from "./task.js";
import { direction } from "./translate.js";

const CELL = 26; // pixels
const LABEL = 120;
const ROW = 24;
const MIN_LINE_WEIGHT = 0.04; // smaller weights have no line
const MAX_CHARACTERS = 300; // limit of the server
const KINDS = {
  cross: ["Encoder-decoder attention", "target", "source"],
  encoder: ["Encoder self-attention", "source", "source"],
  decoder: ["Decoder self-attention", "target", "target"],
};

let running = null;

export function startInside(models) {
  at("sentence").value = models.find((model) => model.task.explain)?.examples[0] ?? "Good morning.";
  at("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    explain();
  });
  at("tab-inside").addEventListener("click", () => at("views").childElementCount || explain());
}

async function explain() {
  running?.abort();
  running = new AbortController();
  const languages = direction();
  const characters = [...at("sentence").value];
  const sentence = characters.slice(0, MAX_CHARACTERS).join("");
  at("cut").textContent = "";
  try {
    const found = await post("api/explain", { sentence, ...languages }, running.signal);
    at("cut").textContent = cutMessage(found, characters.length);
    at("views").replaceChildren(translationLine(found, languages), tokens(found), positions(found), attention(found), search(found));
  } catch (error) {
    if (error.name !== "AbortError") at("views").replaceChildren(); // the reason is shown at the top of the page
  }
}

// The message if the server explained only the beginning of the sentence.
function cutMessage(found, length) {
  if (found.is_cut) return "The sentence is too long for the model. Only the beginning below was read.";
  return length > MAX_CHARACTERS ? `Only the first ${MAX_CHARACTERS} of ${length} characters are explained.` : "";
}

function translationLine(found, { source, target }) {
  const lang = (code) => (task().between_languages ? { lang: code } : {});
  return make("p", { id: "said" },
    make("bdi", lang(source), found.sentence), " → ", make("bdi", { ...lang(target), id: "said-translation" }, found.translation));
}

const chapter = (title, words, equation, ...children) =>
  make("section", {}, make("h2", {}, title), make("p", {}, words), make("p", { class: "equation" }, equation), ...children);

const pieceLabel = (piece) => (piece === "</s>" ? "⟨end⟩" : piece);

function tokens(found) {
  const list = (name, pieces) =>
    make("ul", { class: "pieces", "aria-label": name }, ...pieces.map((piece) => make("li", { dir: "auto" }, pieceLabel(piece))));
  return chapter(
    "Tokens",
    "The model does not read letters or words but pieces of words, which were learned from the training text; ▁ stands " +
      "for a space. Each piece becomes a vector: a row of a table that the source, the target and the output share.",
    "x = √d · E[token]   (section 3.4)",
    make("h3", {}, "Source"), list("Source tokens", found.source_pieces),
    make("h3", {}, capitalized(task().output)), list("Target tokens", found.target_pieces),
  );
}

function positions(found) {
  const rows = found.positional_encodings;
  const canvas = make("canvas", {
    width: rows[0].length, height: rows.length, role: "img",
    "aria-label": `Positional encodings: ${rows.length} positions of ${rows[0].length} dimensions`,
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
    "Attention by itself ignores the order of the words, so a pattern of sine waves is added to the vector of each " +
      "position. Each row below is a position and each column a dimension: short waves on the left, long ones on the right.",
    "PE(pos, 2i) = sin(pos / 10000^(2i/d)),   PE(pos, 2i+1) = cos(pos / 10000^(2i/d))   (section 3.5)",
    make("div", { class: "figure", tabindex: "0" }, canvas),
  );
}

// Blue for -1, white for 0, orange for 1.
function shade(value) {
  const far = value < 0 ? [31, 81, 198] : [222, 120, 20];
  const strength = Math.min(1, Math.abs(value));
  return [...far.map((colour) => Math.round(255 + (colour - 255) * strength)), 255];
}

function choice(name, options) {
  const select = make("select", {}, ...options.map(([value, text]) => make("option", { value }, text)));
  return [select, make("label", {}, name, " ", select)];
}

function attention(found) {
  const [kind, kindLabel] = choice("Kind", Object.entries(KINDS).map(([key, [name]]) => [key, name]));
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
    head.options[0].text = "mean of all heads";
    const chosen = weights[layer.value];
    const matrix = head.value === "0" ? mean(chosen) : chosen[head.value - 1];
    // In the decoder, row t holds the attention with which the model predicts target piece t.
    const from = pieces[rows].map(pieceLabel);
    const into = kind.value === "decoder" ? ["⟨start⟩", ...pieces.target.slice(0, -1).map(pieceLabel)] : pieces[columns].map(pieceLabel);
    map.replaceChildren(heatMap(matrix, from, into, `${name}, layer ${Number(layer.value) + 1}`));
    lines.replaceChildren(lineMap(matrix, from, into, `${name} as lines`));
  }

  for (const select of [kind, layer, head]) select.addEventListener("change", show);
  const view = chapter(
    "Attention",
    "Each token has a query, a key and a value. The better the query of one token matches the key of another, the more of " +
      "the other's value it receives. Each row below is a token that attends (in the decoder: the token to be predicted), " +
      "each column a token that is attended to. The weights of a row sum to 1.",
    "Attention(Q, K, V) = softmax(QKᵀ / √dₖ) V   (Eq. 1)",
    make("div", { class: "bar" }, kindLabel, layerLabel, headLabel), map, lines,
  );
  show();
  return view;
}

// Sets the number of options. If it does not change, the selected option stays.
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
      cell.append(draw("title", {}, `${piece} attends to ${other}: ${percent(matrix[i][j])}`));
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
    if (weight < MIN_LINE_WEIGHT) return;
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
    let continued = 0;
    shown.textContent = `${step.value} of ${steps}`;
    body.replaceChildren(...found.candidate_texts[i].map((text, c) => {
      const piece = found.candidate_pieces[i][c];
      const sum = found.candidate_log_probabilities[i][c];
      if (sum < -1e8) return "";
      const ends = piece === "</s>";
      const continues = !ends && continued < beams;
      continued += continues;
      const outcome = ends ? "finished" : continues ? "continues" : "dropped";
      return make("tr", {}, make("td", { dir: "auto" }, text), make("td", { dir: "auto" }, pieceLabel(piece)), make("td", {}, percent(Math.exp(sum))), make("td", {}, outcome));
    }));
  }

  step.addEventListener("input", show);
  show();
  const head = make("tr", {}, ...["Prefix", "Next token", "Probability", "Outcome"].map((name) => make("th", { scope: "col" }, name)));
  return chapter(
    "The search",
    `At each step, every beam is extended by every token. Of the ${2 * beams} best candidates, those that end are finished, ` +
      `and the ${beams} best others continue. The result is the hypothesis with the best score, which is its log-probability ` +
      "divided by a length penalty.",
    "score(y) = log P(y | x) / ((5 + |y|) / 6)^α   (section 6.1, Wu et al. 2016)",
    make("p", {}, make("label", { for: "step" }, "Step "), step, " ", shown),
    make("div", { class: "figure", tabindex: "0" }, make("table", { id: "candidates" }, make("thead", {}, head), body)),
  );
}
