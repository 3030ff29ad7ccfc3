// The map of all weights of one head: a row for each query and a column for each key.
import { make } from "../../../elements.js";
import { controls, figure, heatMap, percent } from "../../charts.js";
import { isMasked, KINDS, targetOutputs } from "../../tokens.js";

// The rows of the decoder are named after the token that is predicted there.
export function attentionMap({ found, live, ...context }) {
  const draw = (now) => {
    const rows = now.kind === "encoder" ? now.queries : targetOutputs(found);
    const caption = `${KINDS[now.kind]}, layer ${now.layer + 1}, head ${now.head + 1}: each row is a query and sums to 1`;
    return figure({ id: "attention-map", caption }, heatMap({
      key: "attention-map", values: found[`${now.kind}_attention`].part(now.layer, now.head), limit: 1, rows, columns: now.keys,
      rowName: now.kind === "encoder" ? "query" : "predicted", columnName: "key", chosen: [now.query, now.key],
      isMasked: (query, key) => isMasked(now.kind, query, key), choose: (query, key) => context.state.set({ query, key }),
      describe: (query, key, value) =>
        `${rows[query]} attends to ${now.keys[key]}: ${isMasked(now.kind, query, key) ? "masked" : percent(value)}`,
    }));
  };
  return make("div", {}, live((now) => controls(context, now, ["layer", "head"])), live(draw));
}
