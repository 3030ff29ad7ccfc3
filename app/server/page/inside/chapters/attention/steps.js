// The six steps of scaled dot-product attention for one query: what is said about each, and its figure.
import { make } from "../../../elements.js";
import { bars, figure, lineChart, number, percent, vectors } from "../../charts.js";
import { equation, fraction, root, row, sub, sup, total, words } from "../../equations.js";
import { isMasked } from "../../tokens.js";

const { d3 } = globalThis; // charts.js loads it

const FEW = 20; // numbers of a vector that are written into the cells
const MOST_VALUES = 16; // keys whose values have a row of their own

export const STEPS = [
  { name: "Multiply", show: multiply },
  { name: "Add", show: addUp },
  { name: "Divide", show: divide },
  { name: "Mask", show: mask },
  { name: "Softmax", show: softmax },
  { name: "Mix values", show: mix },
];

const hidden = (now, key) => isMasked(now.kind, now.query, key);
const names = (now) => ({ q: now.queries[now.query], k: now.keys[now.key] });

// The products of the numbers of a query and a key.
export const products = ({ query, key }) => query.map((value, i) => value * key[i]);

function multiply(now, numbers) {
  const { q, k } = names(now);
  const { query, key, width } = numbers;
  const lines = [["query", query], ["key", key], ["product", products(numbers)]].map(([label, values]) => ({ label, values }));
  return [
    make("p", {}, `The query of ${q} and the key of ${k} have ${width} numbers each. Numbers at the same place are multiplied.`),
    figure({ id: "products", caption: `The query of ${q}, the key of ${k}, and the products of their numbers` }, vectors({
      key: "products", lines, hasNumbers: width <= FEW,
      describe: (line, i, value) => (line < 2 ? `${lines[line].label}, number ${i + 1}: ${number(value)}`
        : `${number(query[i])} × ${number(key[i])} = ${number(value)}`),
    })),
  ];
}

function addUp(now, numbers) {
  const { q, k } = names(now);
  const score = numbers.scores[now.key];
  const sums = [...d3.cumsum(products(numbers))];
  return [
    make("p", {}, `The sum of the ${numbers.width} products is the score of ${k} for ${q}. It is large if the two vectors point in ` +
      "the same direction."),
    equation("", row("q", "·", "k"), "=", total(row("i", "=", "1"), String(numbers.width)), sub("q", "i"), sub("k", "i"), "=",
      number(score)),
    figure({ id: "sum", caption: `The sum after each product; the last one is the score of ${k}` }, lineChart({
      key: "sum", series: [{ name: number(score), values: sums }], places: sums.map((_, i) => i + 1),
      across: "number of products", up: "sum",
      describe: (_, i) => `Sum of the first ${i + 1} products: ${number(sums[i])}`,
    })),
  ];
}

function divide(now, numbers) {
  const { scores, root: scale, width } = numbers;
  const seen = now.keys.map((_, key) => key).filter((key) => !hidden(now, key));
  const most = Math.max(...seen.map((key) => scores[key]));
  const weights = (divisor) => {
    const powers = now.keys.map((_, key) => (hidden(now, key) ? 0 : Math.exp((scores[key] - most) / divisor)));
    return powers.map((power) => power / d3.sum(powers));
  };
  const [without, divided] = [weights(1), weights(scale)];
  return [
    make("p", {}, "Large scores make softmax give nearly all attention to one key. A small change of the scores then changes next to " +
      "nothing, so their gradients are nearly 0, and the model learns slowly. Without the division, one key would get " +
      `${percent(d3.max(without))} of the attention of ${names(now).q}; with it, ${percent(d3.max(divided))}.`),
    make("p", {}, `Why the root: a score is the sum of dₖ = ${width} products. If the numbers of q and k are independent, with mean 0 and ` +
      `variance 1, the sum has variance dₖ, so its standard deviation is √dₖ. Dividing by √${width} = ${number(scale)} brings it back to 1.`),
    equation("Section 3.2.1", fraction(row("q", "·", "k"), root(sub("d", "k"))), "=",
      fraction(number(scores[now.key]), row(root(String(width)))), "=", number(scores[now.key] / scale)),
    bothWeights(now, seen, without, divided, width),
    figure({ id: "scaled", caption: "The scores of all keys after the division" }, bars({
      key: "scaled", chosen: now.key, items: now.keys.map((label, key) => ({ label, value: scores[key] / scale })),
      describe: ({ label, value }, key) => `${label}: ${number(scores[key])} ÷ ${number(scale)} = ${number(value)}`,
    })),
    make("p", {}, `The scores of this head have standard deviation ${number(deviation(numbers.allScores))}; after the division, ` +
      `${number(deviation(numbers.allScores) / scale)}. It need not be 1, because the queries and keys of a trained model are not ` +
      "independent, nor do their numbers have variance 1."),
  ];
}

// The weights that softmax makes of the scores without the division and with it.
function bothWeights(now, seen, without, divided, width) {
  const items = seen.flatMap((key) => [
    { label: now.keys[key], value: without[key], text: percent(without[key]), isFaint: true },
    { label: `÷ √${width}`, value: divided[key], text: percent(divided[key]) },
  ]);
  return figure({ id: "both-weights", caption: "The weights that softmax makes of the scores (pale) and of the divided scores" }, bars({
    key: "both-weights", items, limit: 1,
    describe: ({ text }, i) => `${now.keys[seen[i >> 1]]}, ${i % 2 ? "with" : "without"} the division: ${text}`,
  }));
}

function mask(now, { scores, root: scale }) {
  const because = {
    encoder: "Here nothing is masked: each source token may attend to all source tokens.",
    cross: "Here nothing is masked: each position of the decoder may attend to all source tokens.",
    decoder: "In the decoder, a position must not see the tokens after it, because it has to predict them. Their scores become −∞.",
  };
  return [
    make("p", {}, because[now.kind]),
    figure({ id: "masked", caption: "The scores after the mask" }, bars({
      key: "masked", chosen: now.key,
      items: now.keys.map((label, key) => ({ label, value: hidden(now, key) ? -Infinity : scores[key] / scale })),
      describe: ({ label, value }) => (Number.isFinite(value) ? `${label}: ${number(value)}` : `${label}: masked, −∞`),
    })),
  ];
}

function softmax(now, { scores, root: scale, weights }) {
  const power = (key) => (hidden(now, key) ? 0 : Math.exp(scores[key] / scale));
  const sum = now.keys.reduce((all, _, key) => all + power(key), 0);
  return [
    make("p", {}, "Softmax makes shares of the scores: e to the power of each score, divided by the sum of these powers. All weights are " +
      "above 0 and their sum is 1; a masked key gets 0."),
    equation("", sub("a", "j"), "=", fraction(sup("e", sub("s", "j")), row(total("i", ""), sup("e", sub("s", "i")))), "=",
      fraction(number(power(now.key)), number(sum)), "=", number(weights[now.key])),
    figure({ id: "weights", caption: `The attention weights of ${now.queries[now.query]}` }, bars({
      key: "weights", limit: 1, chosen: now.key, items: now.keys.map((label, key) => ({ label, value: weights[key] })),
      describe: ({ label, value }, key) => `${label}: ${number(power(key))} ÷ ${number(sum)} = ${number(value)}`,
    })),
  ];
}

// The keys with the largest weights, in the order of the sentence.
function heaviest(weights) {
  const keys = d3.sort(d3.range(weights.length), (key) => -weights[key]);
  return d3.sort(keys.slice(0, MOST_VALUES));
}

function mix(now, { value, weights, mixed }) {
  const keys = heaviest(weights);
  const lines = keys.map((key) => ({ label: now.keys[key], values: value(key).map((one) => one * weights[key]) }));
  if (keys.length < weights.length) {
    const shown = (i) => d3.sum(lines, ({ values }) => values[i]);
    lines.push({ label: `${weights.length - keys.length} others`, values: mixed.map((one, i) => one - shown(i)) });
  }
  return [
    make("p", {}, "Each key's value is multiplied by the key's weight. The sum of these vectors is what this head gives to the token. " +
      "Rows without colour have almost no weight."),
    equation("", words("head"), "=", total("j", ""), sub("a", "j"), sub("v", "j")),
    figure({ id: "mixed", caption: `The weighted values of all keys and, in the last row, their sum` }, vectors({
      key: "mixed", lines: [...lines, { label: "sum", values: mixed }], hasNumbers: mixed.length <= FEW, gap: 4, cell: [12, 20],
      limit: Math.max(...mixed.map(Math.abs), ...lines.flatMap(({ values }) => [...values].map(Math.abs))),
      describe: (line, i, one) => {
        const key = keys[line];
        if (key === undefined) return `${lines[line]?.label ?? "sum"}, number ${i + 1}: ${number(one)}`;
        return `${now.keys[key]}, number ${i + 1}: ${number(weights[key])} × ${number(value(key)[i])} = ${number(one)}`;
      },
    })),
  ];
}

function deviation(values) {
  const mean = d3.mean(values);
  return Math.sqrt(d3.mean(values, (value) => (value - mean) ** 2));
}
