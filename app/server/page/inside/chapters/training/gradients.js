// The gradients of a training step: in the picture of the model, and of every weight in a table.
import { draw, make } from "../../../elements.js";
import { figure, number } from "../../charts.js";
import { boxPlace, picture } from "../../picture.js";

const DARKEST = 45; // percent of colour, so that the words in a box stay readable
const VIEWS = { both: { x: -30, y: 64, width: 640, height: 614 }, decoder: { x: 280, y: 168, width: 330, height: 510 } };
const COLUMNS = ["Weight", "Shape", "Gradient", "Weight’s norm", "Gradient ÷ weight", "Update"];

export function gradients(training, answer) {
  return make("div", {},
    make("p", {}, "The gradient flows back from the loss through all boxes. The number beside a box is the norm of its gradient ",
      "divided by the norm of its weights; the larger it is, the darker is the box. The embeddings and the linear layer share one ",
      "matrix."),
    figure({ id: "backwards", caption: `Norm of the gradient divided by that of the weights, at step ${answer.step}` },
      shaded(training, answer)),
    table(answer.gradients));
}

// The name of a weight in words: "encoder/layer_0/self_attention/query/kernel" is "encoder layer 1, self-attention, query, matrix".
export function weightName(name) {
  return name.replace(/\/layer_(\d+)/, (_, layer) => ` layer ${Number(layer) + 1}`)
    .replace("_residual/norm/", "/normalisation/").replace("final_norm", "last normalisation").replace("kernel", "matrix")
    .replace("embedding/embeddings", "embeddings").replace(/(self|cross)_attention/, "$1-attention").replace("feed_forward", "feed-forward")
    .replace("query_key_value", "query, key and value").replace("key_value", "key and value")
    .replaceAll("_", " ").replaceAll("/", ", ").replace("cross-attention", "encoder-decoder attention");
}

// The norm of the gradients of a box divided by that of its weights, by the box's id.
function quotients(weights) {
  const squares = new Map();
  for (const { boxes, norm, weight_norm: size } of weights) {
    for (const box of norm === null ? [] : boxes) {
      const [gradient, weight] = squares.get(box) ?? [0, 0];
      squares.set(box, [gradient + norm ** 2, weight + size ** 2]);
    }
  }
  return new Map([...squares].map(([box, [gradient, weight]]) => [box, Math.sqrt(gradient / weight)]));
}

function shaded({ model, boxAddress }, answer) {
  const svg = picture(model, { address: boxAddress, view: VIEWS[model.encoder_layers ? "both" : "decoder"] });
  svg.classList.add("flowing", "backwards", "large");
  svg.style.width = `${svg.viewBox.baseVal.width}px`;
  const found = quotients(answer.gradients);
  const most = Math.max(...found.values());
  for (const [box, value] of found) {
    const shape = svg.querySelector(`[data-box="${box}"] rect`);
    if (!shape) continue;
    shape.style.fill = `color-mix(in srgb, var(--positive) ${Math.round(DARKEST * value / most)}%, var(--paper))`;
    const { column, y, outer } = boxPlace(box, model);
    const side = column === "encoder" ? -1 : 1;
    svg.append(draw("text", {
      class: "share", "data-share": box, x: outer + side * 8, y: y + 4, "text-anchor": side < 0 ? "end" : "start",
    }, number(value)));
  }
  return svg;
}

function table(weights) {
  const cell = (value) => make("td", { class: "number" }, value === null ? "frozen" : number(value));
  const rows = weights.map(({ name, shape, norm, weight_norm: size, update_norm: update }) => make("tr", {},
    make("th", { scope: "row" }, weightName(name)), make("td", { class: "number" }, shape.join(" × ")),
    cell(norm), cell(size), cell(norm === null || !size ? null : norm / size), cell(update)));
  return make("div", { class: "scroll weights", tabindex: 0, role: "region", "aria-label": "The gradients of all weights" },
    make("table", { class: "numbers", id: "weights" },
      make("thead", {}, make("tr", {}, ...COLUMNS.map((name) => make("th", { scope: "col" }, name)))),
      make("tbody", {}, ...rows)));
}
