// Masked self-attention: the weights for all tokens.
import { make } from "../../../elements.js";
import { attentionMap } from "./attention-map.js";
import { maskPart } from "./masks.js";

const WORDS = "In the decoder, queries, keys and values all come from the tokens written so far. A position does not see later " +
  "tokens, because it has to predict them; these cells are crossed out.";
const WHY = "Training computes all positions of a known target at once. Without the mask, each position could look up the " +
  "token that it has to predict, and nothing would be learned that helps when the target is not known yet. So a query sees the " +
  "token that it reads and those before it, and the cells form a triangle.";

export default {
  id: "masked-attention",
  title: "Masked self-attention",
  boxes: ["decoder-attention"],
  kinds: ["decoder"],
  applies: (model) => model.decoder_layers > 0,
  render: (context) => make("div", {}, make("p", {}, WORDS), attentionMap(context), maskPart(context, WHY)),
};
