// Figure 1 of Vaswani et al. 2017, drawn anew. Each box is a link to its chapter, so the picture is also the map.
import { draw } from "../elements.js";

const COLUMNS = { encoder: 170, decoder: 400 }; // centres
const WIDTH = 150; // of a box
const SIDE = { encoder: -1, decoder: 1 }; // where the residual connections and the positions are
const OUT = 94; // from the centre to the residual connections
const FRAME = 110; // from the centre to the frame of a stack
const FAN = 46; // from the centre to the outer ones of three arrows
const LINE = 20; // pixels between lines of text
const WHOLE = { x: 16, y: 64, width: 538, height: 614 };
const DECODER = { x: 280, y: 168, width: 290, height: 510 };

// The boxes from bottom to top: the column, the middle, the height and the lines of text.
const BOXES = {
  "source-embedding": ["encoder", 614, 44, ["Input", "embedding"]],
  "encoder-attention": ["encoder", 472, 46, ["Multi-head", "attention"]],
  "encoder-add-1": ["encoder", 432, 24, ["Add & norm"]],
  "encoder-feed-forward": ["encoder", 362, 46, ["Feed-", "forward"]],
  "encoder-add-2": ["encoder", 322, 24, ["Add & norm"]],
  "target-embedding": ["decoder", 614, 44, ["Output", "embedding"]],
  "decoder-attention": ["decoder", 472, 46, ["Masked multi-", "head attention"]],
  "decoder-add-1": ["decoder", 432, 24, ["Add & norm"]],
  "cross-attention": ["decoder", 362, 46, ["Multi-head", "attention"]],
  "decoder-add-2": ["decoder", 322, 24, ["Add & norm"]],
  "decoder-feed-forward": ["decoder", 258, 46, ["Feed-", "forward"]],
  "decoder-add-3": ["decoder", 218, 24, ["Add & norm"]],
  linear: ["decoder", 164, 26, ["Linear"]],
  softmax: ["decoder", 122, 26, ["Softmax"]],
};
const POSITIONS = { "source-positions": "encoder", "target-positions": "decoder" };
const POSITIONS_Y = 562;
const NAMES = {
  "source-positions": "Positional encoding of the source", "target-positions": "Positional encoding of the target",
  "encoder-attention": "Multi-head attention of the encoder", "cross-attention": "Encoder-decoder attention",
};
const DROP = 104; // by which these are lower if the decoder does not read an encoder's output
const ABOVE_CROSS_ATTENTION = ["decoder-feed-forward", "decoder-add-3", "linear", "softmax"];
const ONLY_WITH_ENCODER = ["source-embedding", "source-positions", "encoder-attention", "encoder-add-1", "encoder-feed-forward",
  "encoder-add-2", "cross-attention", "decoder-add-2"];

const columnOf = (id) => BOXES[id]?.[0] ?? POSITIONS[id];
const hasEncoder = (model) => model.encoder_layers > 0;
export const boxIds = (model) =>
  [...Object.keys(BOXES), ...Object.keys(POSITIONS)].filter((id) => hasEncoder(model) || !ONLY_WITH_ENCODER.includes(id));

// The place in the model that a box stands for, as values of the state: the kind of attention or the stack, and the sublayer
// that an "Add & norm" belongs to.
export function placeOfBox(id, model) {
  const kind = id === "cross-attention" ? "cross" : columnOf(id);
  const [, number] = id.match(/-add-(\d)/) ?? [];
  if (!number) return { kind };
  return { kind, sublayer: id === "decoder-add-3" && !hasEncoder(model) ? 1 : Number(number) - 1 };
}

let drawn = 0; // pictures

// The column of a box, its middle, and the outer edge of its stack.
export function boxPlace(id, model) {
  const column = columnOf(id);
  const drop = !hasEncoder(model) && ABOVE_CROSS_ATTENTION.includes(id) ? DROP : 0;
  return { column, x: COLUMNS[column], y: (BOXES[id]?.[1] ?? POSITIONS_Y) + drop, outer: COLUMNS[column] + SIDE[column] * FRAME };
}

// Draws the picture for a model.
//   address(id): the address of a box's chapter; here: the ids of the boxes where the reader is; view: the part that is shown.
export function picture(model, { address, here = [], view = null }) {
  const box = view ?? (hasEncoder(model) ? WHOLE : DECODER);
  const svg = draw("svg", { class: "picture", viewBox: `${box.x} ${box.y} ${box.width} ${box.height}`, role: "group" });
  const arrows = draw("g", {});
  for (const name of Object.keys(COLUMNS)) if (name === "decoder" || hasEncoder(model)) arrows.append(column(name, model));
  if (hasEncoder(model)) arrows.append(memory(model));
  const head = `arrow-head-${++drawn}`; // its own, because a marker in a hidden picture is not shown anywhere
  for (const one of arrows.querySelectorAll(".arrow")) one.setAttribute("marker-end", `url(#${head})`);
  svg.append(arrowHead(head), arrows);
  for (const id of boxIds(model)) svg.append(link(id, model, address(id), here.includes(id)));
  return svg;
}

const arrowHead = (id) => draw("defs", {}, draw("marker", {
  id, viewBox: "0 0 10 10", refX: 9, refY: 5, markerWidth: 7, markerHeight: 7, orient: "auto-start-reverse",
}, draw("path", { class: "head", d: "M0 1L10 5L0 9z" })));

const arrow = (d) => draw("path", { class: "arrow", d });
const edges = (model) => ({
  top: (id) => boxPlace(id, model).y - BOXES[id][2] / 2,
  bottom: (id) => boxPlace(id, model).y + BOXES[id][2] / 2,
});
const up = (x, from, to) => arrow(`M${x} ${from}V${to}`);

// The frame, the arrows and the words of the encoder or the decoder.
function column(name, model) {
  const { top, bottom } = edges(model);
  const x = COLUMNS[name];
  const isDecoder = name === "decoder";
  const last = isDecoder ? "decoder-add-3" : "encoder-add-2";
  const text = `${isDecoder ? "target" : "source"}-embedding`;
  const frame = { x: x - FRAME, y: top(last) - 16, width: 2 * FRAME, height: 532 - top(last) };
  const outside = { x: x + SIDE[name] * (FRAME + 8), "text-anchor": isDecoder ? "start" : "end" };
  return draw("g", {},
    draw("rect", { class: "stack", ...frame, rx: 14 }),
    draw("text", { ...outside, y: 396, class: "times" }, `${isDecoder ? model.decoder_layers : model.encoder_layers} ×`),
    draw("text", { x, y: 672, "text-anchor": "middle", class: "ends" }, inputsOf(isDecoder, model)),
    up(x, 658, bottom(text) + 2), up(x, top(text), POSITIONS_Y + 12), fan(x, POSITIONS_Y - 11, bottom(`${name}-attention`)),
    ...residuals(name, model), ...(isDecoder ? ending(x, model) : []));
}

const inputsOf = (isDecoder, model) => (isDecoder ? `${hasEncoder(model) ? "Outputs" : "Text"} (shifted right)` : "Inputs");

function ending(x, model) {
  const { top, bottom } = edges(model);
  return [
    up(x, top("decoder-add-3"), bottom("linear") + 2), up(x, top("linear"), bottom("softmax") + 2), up(x, top("softmax"), top("softmax") - 17),
    draw("text", { x, y: top("softmax") - 25, "text-anchor": "middle", class: "ends" }, "Output probabilities"),
  ];
}

// An arrow that becomes three: values, keys and queries.
const fan = (x, from, to) => draw("g", {},
  up(x, from, to + 2), ...[-FAN, FAN].map((shift) => arrow(`M${x} ${to + 18}H${x + shift}V${to + 2}`)),
  ...letters(x - FAN, x, x + FAN, to));

// What the three arrows into the attention with this bottom are.
const letters = (value, key, query, bottom) => [["V", value + 4], ["K", key + 4], ["Q", query - 13]].map(([text, x]) =>
  draw("text", { class: "letter", x, y: bottom + 14 }, text));

// The arrows through the sublayers and around them.
function residuals(name, model) {
  const { top, bottom } = edges(model);
  const x = COLUMNS[name];
  const side = x + SIDE[name] * OUT;
  const around = (from, id) => arrow(`M${x} ${from}H${side}V${boxPlace(id, model).y}H${x + SIDE[name] * (WIDTH / 2 + 2)}`);
  const through = (lower, upper) => up(x, top(lower), bottom(upper) + 1);
  const anchor = SIDE[name] < 0 ? "start" : "end";
  const place = (id) => (id === "cross-attention" ? [x + FAN, "start", bottom(id) + 17] : [x, anchor, bottom(id) + 17]);
  const sublayer = (below, id, add) => [through(id, add), around(top(below) - 8, add), ...norm(...place(id), model)];
  const network = (below, add) => [through(below, `${name}-feed-forward`), ...sublayer(below, `${name}-feed-forward`, add)];
  const first = [through(`${name}-attention`, `${name}-add-1`), around(524, `${name}-add-1`),
    ...norm(x, anchor, bottom(`${name}-attention`) + 35, model)];
  if (name === "encoder") return [...first, ...network("encoder-add-1", "encoder-add-2")];
  if (!hasEncoder(model)) return [...first, ...network("decoder-add-1", "decoder-add-3")];
  const query = arrow(`M${x} ${top("decoder-add-1")}v-14h${FAN}V${bottom("cross-attention") + 2}`);
  return [...first, query, ...sublayer("decoder-add-1", "cross-attention", "decoder-add-2"), ...network("decoder-add-2", "decoder-add-3")];
}

// Where the input of a sublayer is normalised, if that is not done after the sum.
function norm(x, anchor, y, model) {
  if (model.normalization !== "pre") return [];
  return [draw("text", { class: "norm", x: x + (anchor === "start" ? 6 : -6), y, "text-anchor": anchor }, "norm")];
}

// The encoder's output, which is the keys and the values of the encoder-decoder attention.
function memory(model) {
  const { top, bottom } = edges(model);
  const [from, to] = [COLUMNS.encoder, COLUMNS.decoder];
  const into = bottom("cross-attention") + 2;
  return draw("g", {},
    arrow(`M${from} ${top("encoder-add-2")}V282H${(from + to) / 2}V${into + 16}H${to - FAN}V${into}`),
    arrow(`M${to - FAN} ${into + 16}H${to - 6}V${into}`),
    ...letters(to - FAN, to - 6, to + FAN, into - 2));
}

function link(id, model, href, isHere) {
  const shape = POSITIONS[id] ? wave(id) : rectangle(id, model);
  return draw("a", {
    href, class: isHere ? "box here" : "box", "data-box": id, "data-key": `box-${id}`, "aria-current": isHere ? "true" : null,
    "aria-label": NAMES[id] ?? BOXES[id][3].join(" ").replace("- ", "-").replace("Feed--", "Feed-"),
  }, ...shape);
}

function rectangle(id, model) {
  const [, , height, words] = BOXES[id];
  const { x, y } = boxPlace(id, model);
  const lines = model.normalization === "pre" && id.includes("-add-") ? ["Add"] : words;
  return [
    draw("rect", { x: x - WIDTH / 2, y: y - height / 2, width: WIDTH, height, rx: 6 }),
    ...lines.map((line, i) => draw("text", {
      x, y: y + 6 + LINE * (i - (lines.length - 1) / 2), "text-anchor": "middle",
    }, line)),
  ];
}

// The sum with the positional encoding, a circle with a wave.
function wave(id) {
  const x = COLUMNS[POSITIONS[id]];
  const side = SIDE[POSITIONS[id]];
  const from = x + side * 68;
  return [
    draw("path", { class: "link", d: `M${from - side * 16} ${POSITIONS_Y}H${x + side * 12}` }),
    draw("circle", { cx: x, cy: POSITIONS_Y, r: 11 }),
    draw("path", { class: "sign", d: `M${x - 6} ${POSITIONS_Y}h12M${x} ${POSITIONS_Y - 6}v12` }),
    draw("circle", { cx: from, cy: POSITIONS_Y, r: 16 }),
    draw("path", { class: "sign", d: `M${from - 11} ${POSITIONS_Y}c4 -14 7 -14 11 0s7 14 11 0` }),
    ...["Posi-", "tions"].map((part, i) => draw("text", {
      class: "beside", x: from + side * 22, y: POSITIONS_Y - 3 + 18 * i, "text-anchor": side < 0 ? "end" : "start",
    }, part)),
  ];
}
