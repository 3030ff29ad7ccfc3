// Encoder-decoder attention: the map of its weights.
import { make } from "../../../elements.js";
import { attentionMap } from "./attention-map.js";

const WORDS = "Here the queries come from the decoder, and the keys and values from the encoder's output. So each position of the output " +
  "can look at each token of the source. The darkest cells of a row show which source tokens the next token is written from.";

export default {
  id: "cross-attention",
  title: "Encoder-decoder attention",
  boxes: ["cross-attention"],
  kinds: ["cross"],
  applies: (model) => model.encoder_layers > 0,
  render: (context) => make("div", {}, make("p", {}, WORDS), attentionMap(context)),
};
