// Draws a constituency tree, such as "(TOP (NP (XX the) (XX cat)))", as nested lists.
import { make } from "./elements.js";

const ROOT = "TOP"; // the bracket around a whole sentence
const NO_TAG = "XX"; // of a word from a parser that predicts no parts of speech
const BRACKETS = { "-LRB-": "(", "-RRB-": ")" }; // how trees write brackets that are words
const NAMES = { // the labels of the Penn Treebank (Bies et al. 1995)
  S: "clause", SBAR: "subordinate clause", SBARQ: "question with a question word", SINV: "inverted clause",
  SQ: "yes/no question", ADJP: "adjective phrase", ADVP: "adverb phrase", CONJP: "conjunction phrase", FRAG: "fragment",
  INTJ: "interjection", LST: "list marker", NAC: "not a constituent", NP: "noun phrase", NX: "head of a noun phrase",
  PP: "prepositional phrase", PRN: "parenthesis", PRT: "particle", QP: "quantifier phrase", RRC: "reduced relative clause",
  UCP: "unlike coordinated phrase", VP: "verb phrase", WHADJP: "adjective phrase with a question word",
  WHADVP: "adverb phrase with a question word", WHNP: "noun phrase with a question word",
  WHPP: "prepositional phrase with a question word", X: "uncertain",
};

// Returns an element with the drawn tree and the text of the tree. Everything is added as text.
export function drawTree(text) {
  const root = read(text);
  const tree = make("ul", { class: "tree" }, ...(root.label === ROOT ? root.children : [root]).map(branch));
  // A wide tree is scrolled by keys, too.
  const box = make("div", { class: "tree-box scroll", tabindex: 0, role: "group", "aria-label": "Constituents" }, tree);
  return make("div", { class: "parse" }, box, make("code", { class: "brackets" }, text));
}

// Parses brackets: a node has a label, and either children or a word.
function read(text) {
  const open = [{ children: [] }];
  for (const token of text.match(/[()]|[^()\s]+/g) ?? []) {
    if (token === "(") open.push({ label: null, children: [] });
    else if (token === ")") {
      const node = open.pop();
      open.at(-1).children.push(node);
    } else if (open.at(-1).label === null) open.at(-1).label = token;
    else open.at(-1).word = token;
  }
  return open[0].children[0];
}

const isWord = (node) => node.word !== undefined;

// A constituent with words only is shown in one line.
function branch(node) {
  if (isWord(node)) return leaf(node);
  const label = make("abbr", { title: NAMES[node.label] ?? null }, node.label);
  const list = make("ul", { class: node.children.every(isWord) ? "flat" : null });
  for (const [number, child] of node.children.entries()) list.append(number ? " " : "", branch(child));
  return make("li", {}, label, " ", list);
}

// The part of speech is shown while the pointer is on the word.
const leaf = ({ label, word }) => make("li", { class: "leaf", title: label === NO_TAG ? null : label }, BRACKETS[word] ?? word);
