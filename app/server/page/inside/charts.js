// All that a chapter draws with: figures and what is in them, and the controls that change what they show.
import { make } from "../elements.js";
import { SHORT_KINDS } from "./tokens.js";

export { bars, lineChart } from "./drawing/bars.js";
export { figure } from "./drawing/figures.js";
export { heatMap, longVector, thumbnail, vectors } from "./drawing/grids.js";
export { links } from "./drawing/links.js";
export { multiples } from "./drawing/multiples.js";
export { number, percent, thousandths, whole } from "./drawing/numbers.js";
export { projections } from "./drawing/projections.js";
export { slider } from "./drawing/slider.js";
export { waves } from "./drawing/waves.js";

const ALL = { head: "heads", layer: "layers" }; // who chooses one no longer looks at all
const STEPS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };

// Buttons of which one is chosen, such as the tokens of a sentence. Arrow keys choose the next one.
export function choices({ key, label, options, chosen, choose, isToken = false }) {
  const buttons = options.map((option, i) => {
    const isChosen = i === chosen;
    const button = make("button", {
      type: "button", role: "radio", "aria-checked": isChosen, tabindex: isChosen || (chosen < 0 && !i) ? 0 : -1, dir: "auto",
      "data-key": `${key}-${i}`,
    }, option);
    button.addEventListener("click", () => choose(i));
    return button;
  });
  const kind = isToken ? "choices tokens scroll" : "choices";
  const group = make("div", { class: kind, role: "radiogroup", "aria-label": label }, ...buttons);
  group.addEventListener("keydown", (event) => {
    const now = buttons.indexOf(event.target);
    const step = STEPS[event.key];
    if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const next = (now + step + buttons.length) % buttons.length;
    buttons[next].focus();
    choose(next);
  });
  requestAnimationFrame(() => { // many tokens have a scrollbar
    if (buttons[chosen]) group.scrollTop = buttons[chosen].offsetTop - group.offsetTop - group.clientHeight / 2;
  });
  return make("div", { class: "choice" }, make("span", { class: "caption", "aria-hidden": "true" }, label), group);
}

// The controls of the attention's chapters. `names` are some of: kind, layer, head, query, key; and token, which is the query
// where nothing attends.
export function controls({ state, model }, now, names) {
  const numbered = (count) => Array.from({ length: count }, (_, i) => String(i + 1));
  const layers = now.kind === "encoder" ? model.encoder_layers : model.decoder_layers;
  const of = {
    kind: () => ({
      label: "Attention", options: now.kinds.map((kind) => SHORT_KINDS[kind]), chosen: now.kinds.indexOf(now.kind),
    }),
    layer: () => ({ label: "Layer", options: numbered(layers), chosen: now.layer }),
    head: () => ({ label: "Head", options: numbered(model.heads), chosen: now.head }),
    query: () => ({ label: "Query: the token that attends", options: now.queries, chosen: now.query, isToken: true }),
    token: () => ({ label: "Token", options: now.queries, chosen: now.query, isToken: true }),
    key: () => ({ label: "Key: the token that is attended to", options: now.keys, chosen: now.key, isToken: true }),
  };
  const shown = names.map((name) => [name === "token" ? "query" : name, of[name]()]).filter(([, { options }]) => options.length > 1);
  return make("div", { class: "controls" }, ...shown.map(([name, fields]) => choices({
    key: name, ...fields,
    choose: (i) => state.set({ [name]: name === "kind" ? now.kinds[i] : i, ...(ALL[name] ? { [ALL[name]]: null } : {}) }),
  })));
}
