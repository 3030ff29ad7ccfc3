// The place in the model that the chapters on layers show: a stack, a layer, a token, and a sublayer of the layer.
import { make } from "../../../elements.js";
import { choices } from "../../charts.js";
import { hasSource } from "../../tokens.js";

const NARROW = 992; // a page of fewer pixels shows the chapter below the map
const MARGINS = { narrow: 75, wide: 450 }; // pixels beside a figure

const STACKS = { encoder: "Encoder", decoder: "Decoder" };

// The names of a layer's sublayers, in their order.
export const sublayerNames = (found, kind) => (kind === "decoder" && hasSource(found)
  ? ["Masked self-attention", "Encoder-decoder attention", "Feed-forward network"]
  : [kind === "decoder" ? "Masked self-attention" : "Self-attention", "Feed-forward network"]);

export const layersOf = (model, kind) => (kind === "encoder" ? model.encoder_layers : model.decoder_layers);

// The sublayer that is chosen, as far as the layer has it.
export const sublayerOf = (found, now) => Math.min(now.sublayer, sublayerNames(found, now.kind).length - 1);

// What is chosen, in words.
export const layerName = (now) => `layer ${now.layer + 1} of the ${now.kind}`;

// Controls for the values `names`, some of: kind, layer, sublayer, query.
export function placeControls({ found, model, state }, now, names) {
  const numbered = Array.from({ length: layersOf(model, now.kind) }, (_, i) => String(i + 1));
  const of = {
    kind: () => ({ label: "Stack", options: now.kinds.map((kind) => STACKS[kind]), chosen: now.kinds.indexOf(now.kind) }),
    layer: () => ({ label: "Layer", options: numbered, chosen: now.layer }),
    sublayer: () => ({ label: "Sublayer", options: sublayerNames(found, now.kind), chosen: sublayerOf(found, now) }),
    query: () => ({ label: "Token", options: now.queries, chosen: now.query, isToken: true }),
  };
  const shown = names.map((name) => [name, of[name]()]).filter(([, { options }]) => options.length > 1);
  return make("div", { class: "controls" }, ...shown.map(([name, fields]) => choices({
    key: name, ...fields, choose: (i) => state.set({ [name]: name === "kind" ? now.kinds[i] : i }),
  })));
}

// The pixels that a figure can use without scrolling.
export function roomOf() {
  const width = Math.min(document.documentElement.clientWidth, 1216); // of the page; see style.css
  return width - MARGINS[width < NARROW ? "narrow" : "wide"];
}
