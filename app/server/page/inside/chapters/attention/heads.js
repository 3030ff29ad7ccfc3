// Multi-head attention: the maps of all heads side by side, and what each head does on this sentence.
import { make } from "../../../elements.js";
import { choices, controls, figure, multiples, number, percent } from "../../charts.js";
import { equation, row, sub, sup, words } from "../../equations.js";
import { KINDS } from "../../tokens.js";
import { mainKind, measure, tokenKinds } from "./measures.js";

const NARROW = 600; // a page of fewer pixels is narrow
const LINES = { narrow: { perLine: 2, side: 126 }, wide: { perLine: 4, side: 164 } };
const WORDS = ["Layer", "Head", "Attends to"]; // the first columns of the table
const SMALL = 96; // pixels of a map if all layers are shown

export default {
  id: "heads",
  title: "Multi-head attention",
  here: ({ kind }) => [`${kind}-attention`],
  applies: () => true,

  render(context) {
    const { live, model } = context;
    return make("div", {},
      make("p", {}, `Each layer attends ${model.heads} times at once. These heads have their own matrices, so each can attend ` +
        "to something else. Their results are put one after another, and the matrix Wᴼ makes one vector of them."),
      equation("Vaswani et al. 2017, Section 3.2.2", words("MultiHead"), "=", words("Concat"), row("(", sub(words("head"), "1"), ",", "…", ",",
        sub(words("head"), String(model.heads)), ")"), sup("W", "O")),
      live((now) => headControls(context, now)),
      live((now) => maps(context, now, measured(context, now))),
      make("h3", {}, "What the heads do on this sentence"),
      live((now) => report(now, measured(context, now))));
  },
};

const isWhole = (now) => now.layers === "all";

function headControls(context, now) {
  const { found, model, state } = context;
  const [layers] = found[`${now.kind}_attention`].shape;
  const options = [...Array.from({ length: layers }, (_, i) => String(i + 1)), "All layers"];
  const box = controls(context, now, ["kind"]);
  if (layers > 1) {
    box.append(choices({
      key: "layer", label: "Layer", options, chosen: isWhole(now) ? layers : now.layer,
      choose: (i) => state.set(i < layers ? { layer: i, layers: null } : { layers: "all" }),
    }));
  }
  if (model.heads > 1) box.append(...controls(context, now, ["head"]).childNodes);
  return box;
}

// The shown heads with what is measured: those of the chosen layer, or of all layers.
function measured({ found, model }, now) {
  const weights = found[`${now.kind}_attention`];
  const layers = isWhole(now) ? Array.from({ length: weights.shape[0] }, (_, i) => i) : [now.layer];
  return layers.flatMap((layer) => Array.from({ length: model.heads }, (_, head) => {
    const values = weights.part(layer, head);
    return { layer, head, values, ...measure(values, now.kind, now.keys) };
  }));
}

const isChosen = (now) => ({ layer, head }) => layer === now.layer && head === now.head;

// What a head does, in words.
function doing(now, one) {
  const main = mainKind(one);
  return main < 0 ? `spread over ${number(one.tokens, 1)} tokens`
    : `${tokenKinds(now.kind)[main].name}, ${percent(one.shares[main])}`;
}

function maps({ model, state }, now, heads) {
  const short = (one) => {
    const main = mainKind(one);
    return main < 0 ? `${number(one.tokens, 1)} tokens` : `${tokenKinds(now.kind)[main].short} ${percent(one.shares[main])}`;
  };
  const layers = isWhole(now) ? heads.filter(({ head }) => !head).map(({ layer }) => `Layer ${layer + 1}`) : null;
  const lines = LINES[document.documentElement.clientWidth < NARROW ? "narrow" : "wide"];
  const shape = layers ? { perLine: model.heads, side: SMALL, names: layers } : lines;
  const where = layers ? "all layers" : `layer ${now.layer + 1}`;
  const caption = `${KINDS[now.kind]}, ${where}: the maps of the heads. A row is a query, a column a key`;
  return figure({ id: "heads", caption }, multiples({
    key: "heads", limit: 1, ...shape, chosen: heads.findIndex(isChosen(now)),
    items: heads.map((one) => ({ title: `Head ${one.head + 1}`, text: short(one), values: one.values })),
    choose: (i) => state.set({ layer: heads[i].layer, head: heads[i].head, heads: null }),
    describe: (i) => `Layer ${heads[i].layer + 1}, head ${heads[i].head + 1}: ${doing(now, heads[i])}`,
  }));
}

function report(now, heads) {
  const kinds = tokenKinds(now.kind);
  const counted = heads.filter((one) => mainKind(one) >= 0).length;
  const cell = (text, name) => make("td", { class: "number", "data-column": name }, text);
  const line = (one) => make("tr", { class: isChosen(now)(one) ? "chosen" : null },
    isWhole(now) ? make("th", { scope: "row" }, String(one.layer + 1)) : "", make("th", { scope: "row" }, String(one.head + 1)),
    make("td", {}, doing(now, one)),
    ...one.shares.map((share, i) => cell(share === null ? "–" : percent(share), kinds[i].short)),
    cell(number(one.tokens, 2), "tokens"));
  const heading = (name) => make("th", { scope: "col", class: WORDS.includes(name) ? "words" : null }, name);
  const head = [...(isWhole(now) ? WORDS : WORDS.slice(1)), ...kinds.map(({ short }) => short), "tokens"].map(heading);
  const first = now.kind === "decoder" ? "The first query is not counted, because it can only attend to itself. " : "";
  return make("div", {},
    make("p", {}, `${counted || "None"} of these ${heads.length} heads ${counted < 2 ? "gives" : "give"} more than half of ` +
      `${counted < 2 ? "its" : "their"} attention to one kind of token. ${first}A token can be of several kinds, such as ` +
      "first and previous. The last column says to how many tokens a query attends: it is e to the power of the entropy of its " +
      "weights, which is n if n tokens have equal weights."),
    make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "What the heads do", "data-key": "measures" },
      make("table", { class: "numbers", id: "measures" },
        make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...heads.map(line)))));
}
