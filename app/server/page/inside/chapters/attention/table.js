// The table of all keys of a query: a column for each step that has been taken.
import { make } from "../../../elements.js";
import { sum } from "../../arrays.js";
import { number } from "../../charts.js";
import { isMasked } from "../../tokens.js";

// The columns: the step from which they are shown, the heading, and the number of a key.
const columns = (now, { scores, root, weights, width }) => {
  const scaled = (key) => (isMasked(now.kind, now.query, key) ? -Infinity : scores[key] / root);
  return [
    [1, "q · k", (key) => scores[key]],
    [2, `÷ √${width}`, (key) => scores[key] / root],
    [3, "masked", scaled],
    [4, "e to this power", (key) => Math.exp(scaled(key))],
    [4, "weight", (key) => weights[key]],
  ];
};

export function table(now, numbers, step) {
  const shown = columns(now, numbers).filter(([from]) => step >= from);
  const cell = (value, name) => make("td", { class: "number", "data-column": name }, number(value));
  const body = now.keys.map((label, key) => make("tr", { class: key === now.key ? "chosen" : null },
    make("th", { scope: "row", dir: "auto" }, label), ...shown.map(([, name, value]) => cell(value(key), name))));
  const total = (from, value) => (from === 4 ? number(sum(now.keys.map((_, key) => value(key)))) : "");
  const totals = shown.map(([from, , value]) => make("td", { class: "number" }, total(from, value)));
  const foot = make("tr", {}, make("th", { scope: "row" }, "sum"), ...totals);
  return make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "All keys of this query", "data-key": "keys" },
    make("table", { class: "numbers", id: "keys" },
      make("thead", {}, make("tr", {}, ...["key", ...shown.map(([, name]) => name)].map((name) => make("th", { scope: "col" }, name)))),
      make("tbody", {}, ...body), step >= 4 ? make("tfoot", {}, foot) : ""));
}
