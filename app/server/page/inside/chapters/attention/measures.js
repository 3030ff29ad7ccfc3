// What a head does on a sentence, measured: to which kinds of tokens its attention goes, and to how many.
import { sum } from "../../arrays.js";
import { isMasked } from "../../tokens.js";

const SEPARATOR = /^(⟨end⟩|[▁⏎]*[\p{P}⏎]+)$/u;
const HALF = 0.5;

// The kinds of tokens: a short name, the name, and whether the key j is one for the query i.
const ANYWHERE = [
  ["first", "first token", (i, j) => j === 0],
  ["punctuation", "punctuation or end", (i, j, keys) => SEPARATOR.test(keys[j])],
];
const IN_ONE_TEXT = [
  ["previous", "previous token", (i, j) => j === i - 1],
  ["same", "same token", (i, j) => j === i],
  ["next", "next token", (i, j) => j === i + 1],
  ...ANYWHERE,
];
const IN_TWO_TEXTS = [
  ["before", "token one place before", (i, j) => j === i - 1],
  ["same", "token at the same place", (i, j) => j === i],
  ["after", "token one place after", (i, j) => j === i + 1],
  ...ANYWHERE,
];

// The names of the kinds of tokens.
export const tokenKinds = (kind) => (kind === "cross" ? IN_TWO_TEXTS : IN_ONE_TEXT).map(([short, name]) => ({ short, name }));

// Measures the weights of a head, a Tensor [queries, keys]. Returns {shares, tokens}.
//   shares: for each kind of token, its part of the attention of all queries, or null if no query may attend to one;
//   tokens: the mean over the queries of e to the power of the entropy, which is n if n keys have equal weights.
// Queries that may attend to one key only are left out, because they have no choice.
export function measure(weights, kind, keys) {
  const [count] = weights.shape;
  const seen = Array.from({ length: count }, (_, i) => keys.map((_, j) => j).filter((j) => !isMasked(kind, i, j)));
  const all = seen.map((_, i) => i);
  const free = all.filter((i) => seen[i].length > 1);
  const used = free.length ? free : all;
  const shares = (kind === "cross" ? IN_TWO_TEXTS : IN_ONE_TEXT).map(([, , isOne]) => {
    const found = used.map((i) => seen[i].filter((j) => isOne(i, j, keys)).map((j) => weights.at(i, j)));
    return found.some((own) => own.length) ? mean(found.map(sum)) : null;
  });
  return { shares, tokens: mean(used.map((i) => Math.exp(entropy(weights.row(i))))) };
}

// The index of the kind of token that gets more than half of the attention, or -1.
export function mainKind({ shares }) {
  const most = Math.max(...shares.map((share) => share ?? 0));
  return most > HALF ? shares.indexOf(most) : -1;
}

const mean = (values) => sum(values) / values.length;
const entropy = (row) => -row.reduce((total, weight) => total + (weight > 0 ? weight * Math.log(weight) : 0), 0);
