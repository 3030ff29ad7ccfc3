// Embeddings: the vector of a token, the tokens with similar vectors, and the factor sqrt(d).
import { make } from "../../../elements.js";
import { norm } from "../../arrays.js";
import { bars, figure, longVector, number } from "../../charts.js";
import { equation, root, row, sub } from "../../equations.js";
import { pieceLabel } from "../../tokens.js";
import { sideChoices } from "./sides.js";

const CELLS = { narrow: 24, wide: 64 }; // in a line
const NARROW = 1000; // a page of fewer pixels is narrow

const BYTES = "A character that is not in the vocabulary is spelt in bytes, such as <0xF0>. In a text, one byte alone is shown as �.";

export default {
  id: "embedding",
  title: "Embeddings",
  boxes: ["source-embedding", "target-embedding"],
  kinds: ["encoder", "decoder"], // the side of the chosen token

  applies: () => true,

  // The token with the most similar other token, which shows best what a row is. Frequent words have hardly any.
  firstQuery(found, kind) {
    const cosines = found[`${sideOf(kind)}_cosines`];
    const nearest = Array.from({ length: cosines.shape[0] }, (_, i) => cosines.at(i, 0));
    return nearest.indexOf(Math.max(...nearest));
  },

  render({ found, model, live, state }) {
    return make("div", {},
      make("p", {}, "The model reads tokens: pieces of words that were learned from the training text; ▁ stands for a space. Each " +
        `token of the vocabulary has a row of ${model.model_width} numbers in a table, its embedding. Training has moved the rows so ` +
        "that tokens that are used alike have similar rows. The source, the target and the output layer share the table."),
      hasBytes(found) ? make("p", {}, BYTES) : "",
      equation("Vaswani et al. 2017, Section 3.4", sub("x", "t"), "=", root(sub("d", "model")), "·", "E", "[", sub("token", "t"), "]"),
      live((now) => sideChoices(found, now, state)),
      live((now) => details(found, model, now)));
  },
};

// True if a token that this view can show is a byte.
const hasBytes = (found) => ["source_pieces", "target_pieces", "source_neighbours", "target_neighbours", "top_pieces"]
  .some((name) => found[name]?.flat().some((piece) => /^<0x..>$/.test(piece)));

const sideOf = (kind) => (kind === "encoder" ? "source" : "target");

function details(found, model, now) {
  const side = sideOf(now.kind);
  const token = now.queries[now.query];
  const cosines = found[`${side}_cosines`].row(now.query);
  const vector = found[`${side}_embeddings`].row(now.query);
  const perLine = Math.min(model.model_width, CELLS[document.documentElement.clientWidth < NARROW ? "narrow" : "wide"]);
  return make("div", {},
    make("h3", {}, "The row of ", make("bdi", { class: "token-name" }, token)),
    figure({ id: "embedding", caption: `The embedding of ${token}: ${vector.length} numbers` },
      longVector({
        key: "embedding", values: vector, perLine, describe: (i, value) => `E[${token}], number ${i + 1}: ${number(value)}`,
      })),
    make("h3", {}, "The most similar rows"),
    make("p", {}, "The cosine of the angle between two rows is 1 if they point in the same direction, and 0 if they are orthogonal. " +
      "The nearest rows say little for rare tokens, which training has hardly moved, and for very frequent ones, which have no tokens " +
      "that are used alike."),
    figure({ id: "neighbours", caption: `The rows of the table that are nearest to ${token}, by cosine` }, bars({
      key: "neighbours", limit: 1,
      items: found[`${side}_neighbours`][now.query].map((piece, i) => ({ label: pieceLabel(piece), value: cosines[i] })),
      describe: ({ label, value }) => `cosine of ${token} and ${label}: ${number(value)}`,
    })),
    make("h3", {}, "Why the factor √d"), ...factor(found, model, vector, token, now));
}

// The lengths of the vectors that are added, with and without the factor.
function factor(found, model, vector, token, now) {
  const scale = Math.sqrt(model.model_width);
  const length = norm(vector);
  const position = norm(found.positional_encodings.row(now.query));
  const items = [
    { label: "row", value: length },
    { label: "√d · row", value: scale * length },
    { label: "position", value: position },
  ];
  return [
    make("p", {}, `The encoding of the position is added to each embedding. It always has length √(d / 2) = ${number(position)}. The ` +
      `rows of the table are short: training begins with numbers of variance 1 / d. This row has length ${number(length)}. The factor ` +
      `√${model.model_width} = ${number(scale)} brings it to ${number(scale * length)}, so that the position does not hide the word.`),
    equation("", row("|", root("d"), "·", "E", "|"), "=", number(scale), "·", number(length), "=", number(scale * length)),
    figure({ id: "factor", caption: `Lengths of the vectors that are added at the position of ${token}` },
      bars({ key: "factor", items, describe: ({ label, value }) => `Length of the vector “${label}”: ${number(value)}` })),
  ];
}
