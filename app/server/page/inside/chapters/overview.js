// The whole model in one picture, with what passes through it while it reads and writes this sentence.
import { draw, make } from "../../elements.js";
import { Tensor, sum } from "../arrays.js";
import { figure, number, percent, thumbnail, whole } from "../charts.js";
import { boxPlace, picture } from "../picture.js";
import { hasSource, sourceTokens, targetInputs, targetOutputs } from "../tokens.js";

const PHONE = 700; // a page of fewer pixels has no room for the small pictures
const VIEWS = {
  both: { wide: { x: -160, y: 14, width: 890, height: 742 }, phone: { x: 20, y: 14, width: 530, height: 742 } },
  decoder: { wide: { x: 280, y: 118, width: 450, height: 638 }, phone: { x: 280, y: 118, width: 290, height: 638 } },
};
const WIDTH = 160; // of a small picture beside a box
const HEIGHT = 28;
const MAP = 60; // side of a small attention map
const FAR = 52; // from the stack's frame to the small pictures
const SCALE = 1.1; // pixels of the page for one of the picture
const LINE_LETTERS = 24;
const MOST_LINES = 3;
const MOST_PIECES = 4; // of a distribution

const PICTURES = "The small pictures are this model's own numbers for this sentence: blue is above 0, orange below, and darker " +
  "is larger.";

const DIVIDE = 2; // the step of the attention chapter
const QUESTIONS = [ // the chapter that answers, and the part of it that is shown first, if it is not the beginning
  ["Where do queries, keys and values come from?", { chapter: "query-key-value" }],
  ["Why are scores divided by √dₖ?", { chapter: "attention", step: DIVIDE }, "step"],
  ["How does the decoder know which source word it is at?", { chapter: "cross-attention" }],
];

export default {
  id: "overview",
  title: "The Transformer",
  applies: () => true,

  render({ found, model, state, live, boxAddress, chapters }) {
    const words = hasSource(found)
      ? "The encoder reads all tokens of the source at once and turns each into a vector. The decoder writes the output token " +
        "by token: it reads what it has written so far, looks at the encoder's vectors, and predicts the next token."
      : "The decoder reads the text so far and predicts the next token.";
    const numbers = isPhone() ? "" : " with the numbers of this model for this sentence";
    const caption = `The Transformer (Vaswani et al. 2017, Figure 1)${numbers}`;
    return make("div", {},
      make("p", {}, words, " Each box leads to its chapter. ", isPhone() ? "" : PICTURES),
      live(() => questions(chapters, state)),
      live((now) => figure({ id: "overview", caption }, annotated(found, now, boxAddress))),
      make("h3", {}, "The sizes of this model"), sizes(model));
  },
};

// Links to the places that answer what people ask first, as far as the model has these chapters.
function questions(chapters, state) {
  const answered = QUESTIONS.filter(([, place]) => chapters.some(({ id }) => id === place.chapter));
  const link = ([question, place, part]) =>
    make("a", { href: state.address(place), "data-key": `to-${place.chapter}`, "data-part": part }, question);
  return make("ul", { id: "questions" }, ...answered.map((one) => make("li", {}, link(one))));
}

const isPhone = () => document.documentElement.clientWidth < PHONE;

// The picture with the tokens that go in and come out, and a small picture of the numbers beside each box.
function annotated(found, now, address) {
  const views = VIEWS[hasSource(found) ? "both" : "decoder"];
  const svg = picture(found.model, { address, view: views[isPhone() ? "phone" : "wide"] });
  svg.classList.add("flowing", isPhone() ? "narrow" : "large");
  svg.style.width = `${SCALE * svg.viewBox.baseVal.width}px`;
  const { x, y } = boxPlace("softmax", found.model);
  svg.append(...lines(x, 696, targetInputs(found)), ...lines(x, y - 60, targetOutputs(found), -1));
  if (hasSource(found)) svg.append(...lines(boxPlace("source-embedding", found.model).x, 696, sourceTokens(found)));
  if (isPhone()) return svg;
  const position = Math.min(now.query, found.target_pieces.length - 1);
  svg.append(...side("target", "decoder", found, now), attention("decoder", found, now), distribution(found, position));
  if (hasSource(found)) {
    svg.append(...side("source", "encoder", found, now), attention("encoder", found, now), attention("cross", found, now));
  }
  return svg;
}

// What both stacks have: the embeddings, the positions and the feed-forward network.
function side(text, stack, found, now) {
  const embeddings = found[`${text}_embeddings`];
  const [count, width] = embeddings.shape;
  const shares = found[`${stack}_active`];
  const row = shares.row(layerOf(shares, now));
  const positions = new Tensor([count, width], found.positional_encodings.data.subarray(0, count * width));
  const units = `${percent(sum(row) / count)} of ${whole(found.model.inner_width)} units above 0`;
  return [
    beside(`${text}-embedding`, found.model, `${count} tokens × ${width} numbers`, map(embeddings, WIDTH, HEIGHT)),
    beside(`${text}-positions`, found.model, `${count} positions × ${width}`, map(positions, WIDTH, HEIGHT)),
    beside(`${stack}-feed-forward`, found.model, units, map(new Tensor([1, count], row), WIDTH, 14, 1)),
  ];
}

const map = (values, width, height, limit) => ({ drawing: thumbnail(values, width, height, limit), width, height });
const layerOf = (values, now) => Math.min(now.layer, values.shape[0] - 1);

// Puts a small picture and the words about it beside a box, at the outer side of the stack.
function beside(id, model, words, { drawing, width, height }) {
  const { column, y, outer } = boxPlace(id, model);
  const isLeft = column === "encoder";
  const x = isLeft ? outer - FAR - width : outer + FAR;
  drawing.setAttribute("transform", `translate(${x} ${y - height / 2 + 8})`);
  const [from, anchor] = isLeft ? [outer - FAR, "end"] : [x, "start"];
  return draw("g", {}, drawing, draw("text", { class: "axis", x: from, y: y - height / 2, "text-anchor": anchor }, words));
}

function attention(kind, found, now) {
  const weights = found[`${kind}_attention`];
  const layer = layerOf(weights, now);
  const chosen = weights.part(layer, now.head);
  const [rows, columns] = chosen.shape;
  const side = MAP / Math.max(rows, columns);
  const words = `layer ${layer + 1}, head ${now.head + 1}: ${rows} × ${columns}`;
  return beside(`${kind}-attention`, found.model, words, map(chosen, side * columns, side * rows, 1));
}

// The most probable tokens at one position of the output.
function distribution(found, position) {
  const normalizer = found.log_normalizers.at(position, 9); // at temperature 1
  const { y, outer } = boxPlace("softmax", found.model);
  const scores = `${whole(found.model.vocabulary_size)} scores a token`;
  return draw("g", {},
    draw("text", { class: "axis", x: outer + 8, y: boxPlace("linear", found.model).y + 5 }, scores),
    draw("text", { class: "axis", x: outer + 8, y: y - 60 }, `after ${targetInputs(found)[position]}`),
    ...found.top_pieces[position].slice(0, MOST_PIECES).map((piece, i) => {
      const share = Math.exp(found.top_logits.at(position, i) - normalizer);
      const top = y - 42 + 18 * i;
      return draw("g", {},
        draw("rect", { class: "positive", x: outer + 8, y: top - 10, width: Math.max(1, 70 * share), height: 12 }),
        draw("text", { class: "axis", x: outer + 86, y: top }, `${percent(share)} ${piece}`));
    }));
}

// The tokens as lines of text below or above a column.
function lines(x, y, tokens, direction = 1) {
  const found = [[]];
  for (const token of tokens) {
    if ([...found.at(-1), token].join(" ").length > LINE_LETTERS) found.push([]);
    found.at(-1).push(token);
  }
  const shown = found.slice(0, MOST_LINES).map((line) => line.join(" "));
  if (found.length > MOST_LINES) shown[MOST_LINES - 1] += " …";
  const start = direction < 0 ? y - 18 * (shown.length - 1) : y;
  return shown.map((line, i) => draw("text", { class: "flow-token", x, y: start + 18 * i, "text-anchor": "middle" }, line));
}

// The model's sizes as a list of terms of the paper.
function sizes(model) {
  const layers = model.encoder_layers ? `${model.encoder_layers} + ${model.decoder_layers}` : `${model.decoder_layers}`;
  const rows = [
    ["Parameters", whole(model.parameters)],
    [model.encoder_layers ? "Layers N, encoder + decoder" : "Layers N", layers],
    ["Width of a vector, d_model", whole(model.model_width)],
    ["Heads h", whole(model.heads)],
    ["Width of a head, d_k = d_model / h", number(model.model_width / model.heads)],
    ["Inner width of the feed-forward network, d_ff", whole(model.inner_width)],
    ["Vocabulary", `${whole(model.vocabulary_size)} tokens`],
    ["Layer normalisation", model.normalization === "pre" ? "before each sublayer" : "after each sublayer, as in the paper"],
    ["Activation", model.activation === "relu" ? "ReLU, as in the paper" : model.activation],
  ];
  if (model.copying) rows.push(["Output", "can copy tokens of the source"]);
  const entry = ([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value));
  return make("dl", { class: "sizes" }, ...rows.map(entry));
}
