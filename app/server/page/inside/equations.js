// Equations in MathML, which browsers typeset. A string becomes a number, a name or an operator by how it looks.
import { make } from "../elements.js";

const MATHML = "http://www.w3.org/1998/Math/MathML";
const NUMBER = /^[−-]?[\d.,]+$/;
const NAME = /^\p{L}+$/u;

function element(name, ...children) {
  const node = document.createElementNS(MATHML, name);
  node.append(...children);
  return node;
}

function term(part) {
  if (typeof part !== "string") return part;
  return element(NUMBER.test(part) ? "mn" : NAME.test(part) ? "mi" : "mo", part);
}

export const row = (...parts) => element("mrow", ...parts.map(term));
export const fraction = (above, below) => element("mfrac", term(above), term(below));
export const root = (...parts) => element("msqrt", ...parts.map(term));
export const sub = (base, index) => element("msub", term(base), term(index));
export const sup = (base, exponent) => element("msup", term(base), term(exponent));
export const total = (below, above) => element("munderover", term("∑"), term(below), term(above));
export const bracket = (...parts) => row("(", ...parts, ")");

// Upright text, such as the name of a function.
export const words = (text) => element("mtext", text);

// An equation in a line of its own. `place` says where the paper has it.
export function equation(place, ...parts) {
  const math = element("math", row(...parts));
  math.setAttribute("displaystyle", "true");
  const box = make("div", { class: "equation scroll", role: "group", "aria-label": "Equation" }, math, make("span", { class: "place" }, place));
  sizes.observe(box);
  return box;
}

// An equation that is wider than the page can be reached by keys, which scroll it.
const sizes = new ResizeObserver((entries) => {
  for (const { target: box } of entries) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  }
});
