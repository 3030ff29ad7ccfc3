// The decoder, one token at a time: what it has in its cache, what it computes, and the token that follows.
import { make } from "../../../elements.js";
import { bars, controls, figure, percent, slider } from "../../charts.js";
import { hasSource, pieceLabel, targetOutputs } from "../../tokens.js";
import { cachePicture, rowsOfHead } from "./cache.js";
import { cost } from "./cost.js";
import { player } from "./player.js";

const SHOWN = 6; // pieces of the distribution
const BOXES = ["target-embedding", "target-positions", "decoder-attention", "decoder-add-1", "cross-attention", "decoder-add-2",
  "decoder-feed-forward", "decoder-add-3", "linear", "softmax"];

export default {
  id: "decoder",
  title: "The decoder, token by token",
  here: () => BOXES,
  kinds: ["decoder"],
  applies: (model) => model.decoder_layers > 0,

  render(context) {
    const { details, found, live, state } = context;
    const last = found.target_ids.length - 1;
    const source = hasSource(found) ? "The keys and values of the source are computed once, before the first step. " : "";
    return make("div", {},
      make("p", {}, "The decoder writes one token in each step, reads it in the next step, and so on. An earlier position does " +
        `not see a later one, so its keys and values never change. They are kept in a cache. ${source}A step computes only ` +
        "what belongs to its one new token."),
      steps(context, last),
      live((now) => written(found, now)),
      make("h3", {}, "The cache"),
      live((now) => cachePicture(context, now)),
      make("h3", {}, "What the step computes"),
      live((now) => cost(found, now)),
      make("h3", {}, "What comes out"),
      live((now) => produced(found, now)),
      make("h3", {}, "The rows of one head"),
      live((now) => controls(context, now, ["layer", "head"])),
      live(async (now) => rowsOfHead(now, await details())));
  },
};

// The slider and the buttons that go through the steps.
function steps({ live, state }, last) {
  const read = () => Math.min(state.values.query, last);
  const write = (query) => state.set({ kind: "decoder", query });
  const button = (name, by) => {
    const made = make("button", { type: "button", "data-key": name }, name);
    made.addEventListener("click", () => write(Math.max(0, Math.min(last, read() + by))));
    return made;
  };
  return make("div", { class: "stepper" },
    slider({
      live, key: "step", label: "Step", most: () => last, read: (now) => now.query, write,
      text: (now) => `${now.query + 1} of ${last + 1}`,
    }),
    make("div", { class: "choices" }, button("Back", -1), button("Next", 1), player({ read, last, write }) ?? ""));
}

// The tokens that have been read, the new one, and the one that follows.
function written(found, now) {
  const token = (text, kind, about) => make("li", { class: kind, title: about }, make("bdi", {}, text));
  const read = now.keys.slice(0, now.query + 1).map((text, i) => (i < now.query ? token(text, "old", "read before")
    : token(text, "new", "read in this step")));
  const next = token(targetOutputs(found)[now.query], "made", "follows");
  return make("ol", { class: "written", "aria-label": "Tokens so far" }, ...read, next);
}

// The most probable tokens of the step, with the one that was written.
function produced(found, now) {
  const t = now.query;
  const one = found.temperatures.data.findIndex((temperature) => Math.abs(temperature - 1) < 0.01);
  const share = (logit) => Math.exp(logit - found.log_normalizers.at(t, one));
  const items = found.top_pieces[t].slice(0, SHOWN).map((piece, i) => ({ piece, value: share(found.top_logits.at(t, i)) }));
  const piece = found.target_pieces[t];
  const own = share(found.chosen_logits.data[t]);
  if (!items.some((item) => item.piece === piece)) items.push({ piece, value: own });
  const rank = found.top_pieces[t].indexOf(piece);
  const place = rank === 0 ? "the most probable token" : rank > 0 ? `number ${rank + 1} of the most probable tokens`
    : `not among the ${found.top_pieces[t].length} most probable tokens`;
  const isGiven = t < (found.prompt_tokens ?? 0);
  const label = pieceLabel(piece);
  const what = isGiven ? `The next token, ${label}, is given by the prompt. The model gives it a probability of ${percent(own)}.`
    : `The next token is ${label}, with a probability of ${percent(own)}. It is ${place}. The next step reads it.`;
  return make("div", {}, make("p", {}, what),
    figure({ id: "produced", caption: `The probabilities after ${now.keys[t]}` }, bars({
      key: "produced", limit: 1, chosen: items.findIndex((item) => item.piece === piece),
      items: items.map((item) => ({ label: pieceLabel(item.piece), value: item.value, text: percent(item.value) })),
    })));
}
