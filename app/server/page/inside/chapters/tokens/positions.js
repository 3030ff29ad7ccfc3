// Positional encodings: the picture of the waves, and how similar positions are.
import { make } from "../../../elements.js";
import { dot, norm } from "../../arrays.js";
import { choices, figure, heatMap, lineChart, number } from "../../charts.js";
import { bracket, equation, fraction, row, sub, sup, words } from "../../equations.js";
import { hasSource, sourceTokens, targetInputs } from "../../tokens.js";

const LARGEST = 900; // pixels of the picture
const HEIGHT = 14; // of a position

export default {
  id: "positions",
  title: "Positional encoding",
  boxes: ["source-positions", "target-positions"],
  applies: () => true,

  render({ found, model, live, state }) {
    const labels = positionLabels(found);
    const caption = `The encodings of ${labels.length} positions in ${model.model_width} dimensions`;
    const wave = (name) => [sub("PE", row("pos", ",", ...name)), "=", words(name.length === 2 ? "sin" : "cos"),
      bracket(fraction("pos", sup("10000", row("2", "i", "/", "d"))))];
    return make("div", {},
      make("p", {}, "Attention by itself ignores the order of the words, so a pattern of sine waves is added to the vector of each " +
        "position. In the picture, each row is a position and each column a dimension: short waves on the left, long ones on the right."),
      equation("Section 3.5", ...wave(["2", "i"])),
      equation("Section 3.5", ...wave(["2", "i", "+", "1"])),
      live(() => figure({ id: "positions", caption }, waves(found, labels))),
      make("h3", {}, "Which positions are similar"),
      live((now) => similarity(found, labels, now, state)));
  },
};

// The longer side of the sentence has a token for each position.
function positionLabels(found) {
  const target = targetInputs(found);
  const source = hasSource(found) ? sourceTokens(found) : [];
  return source.length > target.length ? source : target;
}

function waves(found, labels) {
  const values = found.positional_encodings;
  const width = Math.max(1, Math.floor(LARGEST / values.shape[1]));
  return heatMap({
    key: "positions", values, cell: [width, HEIGHT], limit: 1, rowName: "position", columnName: "dimension",
    describe: (i, j, value) => `position ${i} (${labels[i]}), dimension ${j}: ${number(value)}`,
  });
}

function similarity(found, labels, now, state) {
  const chosen = Math.min(now.query, labels.length - 1);
  const rows = labels.map((_, i) => found.positional_encodings.row(i));
  const values = rows.map((one) => dot(one, rows[chosen]) / norm(one) / norm(rows[chosen]));
  const caption = `The cosine of the encoding of position ${chosen} and those of all positions`;
  return make("div", {},
    make("p", {}, "The encodings of near positions are similar, and the similarity depends only on the distance. So the model can " +
      "learn to attend by distance."),
    make("div", { class: "controls" }, choices({
      key: "position", label: "Position", options: labels, chosen, isToken: true, choose: (query) => state.set({ query }),
    })),
    figure({ id: "similar-positions", caption }, lineChart({
      key: "similar-positions", series: [{ name: `position ${chosen}`, values }], places: labels.map((_, i) => i),
      across: "position", up: "cosine",
    })));
}
