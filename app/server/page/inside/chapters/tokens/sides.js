// The tokens of both sides, of which one is chosen.
import { make } from "../../../elements.js";
import { choices } from "../../charts.js";
import { hasSource, sourceTokens, targetInputs } from "../../tokens.js";

// `now.kind` is the side of the chosen token: "encoder" is the source, "decoder" the target.
export function sideChoices(found, now, state) {
  const side = (kind, label, options) => choices({
    key: `token-${kind}`, label, options, isToken: true, chosen: now.kind === kind ? now.query : -1,
    choose: (query) => state.set({ kind, query }),
  });
  return make("div", { class: "controls" },
    hasSource(found) ? side("encoder", "Source", sourceTokens(found)) : "",
    side("decoder", hasSource(found) ? "Target, as the decoder reads it" : "Text", targetInputs(found)));
}
