// Encoder-decoder attention: the weights for all tokens, and which source token each step of the decoder looks at.
import { make } from "../../../elements.js";
import { attentionMap } from "./attention-map.js";
import { alignment, looks, moves } from "./looks.js";
import { maskPart } from "./masks.js";

const WORDS = "Here the queries come from the decoder, and the keys and values from the encoder's output. So each position of " +
  "the output can look at each token of the source.";
const ROWS = "The weights of one head or the mean of a layer's heads: the thickest line of a row leads to the source token that it " +
  "looks at most. A row is named after the token that is predicted there.";
const ANSWER = "It keeps no pointer. At each step, the masked self-attention makes a new vector of all that has been written, and the " +
  "query is made from this vector. It is compared with the keys of all source tokens, so the attention can stay, move on or go back.";
const TOLD = "It is told. What a parser reads is known, so the mean of the encoder's output over the next word that it has not " +
  "read is added to the decoder's input at each step, beside the token and its position. Attention is free to look at the rest " +
  "of the sentence.";
const WHY = "The whole source is known before the first token is written, so every position of the decoder may look at all of " +
  "it, and every cell exists.";

export default {
  id: "cross-attention",
  title: "Encoder-decoder attention",
  boxes: ["cross-attention"],
  kinds: ["cross"],
  applies: (model) => model.encoder_layers > 0,

  render(context) {
    const { live } = context;
    const answer = context.found.model.word_token ? TOLD : ANSWER;
    return make("div", {}, make("p", {}, WORDS),
      make("h3", {}, "How does the decoder know which source word it is at?"), make("p", {}, answer),
      alignment(context.found), live((now) => looks(context, now)),
      live((now) => make("p", {}, moves(context.found, now))),
      make("h3", {}, "All weights"), make("p", {}, ROWS), attentionMap(context),
      maskPart(context, WHY));
  },
};
