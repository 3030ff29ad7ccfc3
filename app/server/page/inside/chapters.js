// The chapters in their order, and what each of them gets when it is shown.
import { make } from "../elements.js";
import attention from "./chapters/attention/scaled-dot-product.js";
import crossAttention from "./chapters/attention/cross-attention.js";
import heads from "./chapters/attention/heads.js";
import maskedAttention from "./chapters/attention/masked-attention.js";
import selfAttention from "./chapters/attention/self-attention.js";
import decoder from "./chapters/decoding/decoder.js";
import embedding from "./chapters/tokens/embedding.js";
import overview from "./chapters/overview.js";
import output from "./chapters/decoding/output.js";
import queryKeyValue from "./chapters/attention/query-key-value.js";
import positions from "./chapters/tokens/positions.js";
import feedForward from "./chapters/layers/feed-forward.js";
import residual from "./chapters/layers/residual.js";
import search from "./chapters/decoding/search.js";
import training from "./chapters/training/training.js";
import why from "./chapters/why.js";
import { sublayerOf } from "./chapters/layers/place.js";
import { failure } from "./failure.js";
import { placeOfBox } from "./picture.js";
import { keyTokens, kindsOf, queryTokens } from "./tokens.js";

// A chapter is {id, title, boxes, here(now), kinds, firstQuery(found, kind), applies(model), render(context)}.
//   boxes: the ids of the picture's boxes that lead to it; none if it is left out;
//   here: the ids of the boxes that are marked; if it is left out, those of `boxes` that belong to the chosen place;
//   kinds: the kinds of attention that it can show; all kinds if it is left out;
//   firstQuery: the number of the token that is shown until one is chosen; the first token if it is left out.
const CHAPTERS = [
  overview, embedding, positions, queryKeyValue, attention, heads, selfAttention, maskedAttention, crossAttention, residual,
  feedForward, decoder, output, search, why, training,
];

export const chaptersOf = (model) => CHAPTERS.filter((chapter) => chapter.applies(model));

// The chapter that a box of the picture leads to: the first one that names it.
export const chapterOfBox = (chapters, id) =>
  chapters.find((chapter) => chapter.boxes?.includes(id)) ?? chapters[0];

// The boxes where the reader is.
export function boxesOf(chapter, found, now) {
  if (chapter.here) return chapter.here(now);
  const sublayer = sublayerOf(found, now);
  return (chapter.boxes ?? []).filter((id) => {
    const place = placeOfBox(id, found.model);
    return place.kind === now.kind && (place.sublayer ?? sublayer) === sublayer;
  });
}

// The values of the state as far as they exist in this model and sentence, with the tokens that can be chosen.
export function current(found, chapter, values) {
  const kinds = kindsOf(found).filter((kind) => chapter.kinds?.includes(kind) ?? true);
  const kind = kinds.includes(values.kind) ? values.kind : kinds[0] ?? kindsOf(found)[0];
  const queries = queryTokens(found, kind);
  const keys = keyTokens(found, kind);
  const { model } = found;
  const layers = kind === "encoder" ? model.encoder_layers : model.decoder_layers;
  const query = values.query ?? chapter.firstQuery?.(found, kind) ?? 0;
  const within = (name, count) => Math.min(values[name], count - 1);
  return {
    ...values, kinds, kind, queries, keys, layer: within("layer", layers), head: within("head", model.heads),
    query: Math.min(query, queries.length - 1), key: within("key", keys.length),
  };
}

// Shows a chapter. Returns the element and a function that ends what the chapter has begun.
export function openChapter(chapter, found, state, source) {
  const endings = [];
  const chapters = chaptersOf(found.model);
  const boxAddress = (id) => state.address({ chapter: chapterOfBox(chapters, id).id });
  const now = () => current(found, chapter, state.values);
  const details = () => detailsOf(found, source, now());
  const timing = (lengths) => source.timing(found, lengths);
  const context = { found, model: found.model, state, now, details, timing, boxAddress, source, chapters };
  context.live = (drawing) => live(drawing, state, now, endings);
  return { element: chapter.render(context), close: () => endings.forEach((end) => end()) };
}

const cache = new WeakMap(); // the promises of details by sentence, then by kind, layer and head

// The promise of the vectors of the chosen head.
function detailsOf(found, source, { kind, layer, head }) {
  if (!cache.has(found)) cache.set(found, new Map());
  const known = cache.get(found);
  const name = `${kind} ${layer} ${head}`;
  if (!known.has(name)) {
    const promise = source.layer(found, kind, layer, head);
    promise.catch(() => known.delete(name)); // so that it can be tried again
    known.set(name, promise);
  }
  return known.get(name);
}

// An element that is drawn again after each change of the state. `drawing` gets the current values and returns a node or the
// promise of one. Until it is there, the old node stays.
function live(drawing, state, now, endings) {
  const box = make("div", { class: "live" }, make("p", { class: "wait", role: "status" }, "Fetching the numbers …"));
  let turn = 0;

  async function update() {
    const mine = ++turn;
    try {
      let node = drawing(now());
      if (node instanceof Promise) {
        box.setAttribute("aria-busy", "true");
        node = await node;
      }
      if (mine === turn) fill(box, node);
    } catch (error) {
      if (mine === turn) fill(box, failure(error, update));
    }
    if (mine === turn) box.setAttribute("aria-busy", "false");
  }

  const theme = matchMedia("(prefers-color-scheme: dark)"); // images do not change their colours by themselves
  theme.addEventListener("change", update);
  endings.push(state.subscribe(update), () => theme.removeEventListener("change", update), () => { turn = -1; });
  update();
  return box;
}

// Replaces the content. What had the focus or was scrolled stays so, if the new content has it too.
function fill(box, node) {
  const focused = box.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  const shifts = [...box.querySelectorAll(".scroll")].map((one) => one.scrollLeft);
  box.replaceChildren(node);
  box.querySelectorAll(".scroll").forEach((one, i) => { one.scrollLeft = shifts[i] ?? 0; });
  if (focused) box.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
}
