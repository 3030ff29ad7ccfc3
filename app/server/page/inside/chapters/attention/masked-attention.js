// Masked self-attention: the map of its weights.
import { make } from "../../../elements.js";
import { attentionMap } from "./attention-map.js";

const WORDS = "In the decoder, queries, keys and values all come from the tokens written so far. A position does not see later tokens, " +
  "because it has to predict them; these cells are crossed out.";

export default {
  id: "masked-attention",
  title: "Masked self-attention",
  boxes: ["decoder-attention"],
  kinds: ["decoder"],
  applies: (model) => model.decoder_layers > 0,
  render: (context) => make("div", {}, make("p", {}, WORDS), attentionMap(context)),
};
