// Encoder self-attention: the weights for all tokens.
import { make } from "../../../elements.js";
import { attentionMap } from "./attention-map.js";
import { maskPart } from "./masks.js";

const WORDS = "In the encoder, queries, keys and values all come from the source. Each token looks at all tokens, before and " +
  "after it, and takes in what it needs from them.";
const WHY = "The encoder has the whole source before it begins, and it predicts none of it. So nothing has to be hidden, and " +
  "every cell exists.";

export default {
  id: "self-attention",
  title: "Encoder self-attention",
  boxes: ["encoder-attention"],
  kinds: ["encoder"],
  applies: (model) => model.encoder_layers > 0,
  render: (context) => make("div", {}, make("p", {}, WORDS), attentionMap(context), maskPart(context, WHY)),
};
