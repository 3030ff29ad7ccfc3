// Encoder self-attention: the map of its weights.
import { make } from "../../../elements.js";
import { attentionMap } from "./attention-map.js";

const WORDS = "In the encoder, queries, keys and values all come from the source. Each token looks at all tokens, before and after it, and " +
  "takes in what it needs from them.";

export default {
  id: "self-attention",
  title: "Encoder self-attention",
  boxes: ["encoder-attention"],
  kinds: ["encoder"],
  applies: (model) => model.encoder_layers > 0,
  render: (context) => make("div", {}, make("p", {}, WORDS), attentionMap(context)),
};
