// What the model of a checkpoint computes for the sentence: its output, one head of attention, and the nearest embeddings.
import { make } from "../../../elements.js";
import { bars, controls, figure, heatMap, number, percent } from "../../charts.js";
import { isMasked, KINDS, pieceLabel } from "../../tokens.js";
import { chosenRow, rowName, rowsOf } from "../attention/attention-map.js";
import { chosen } from "./player.js";

export function atCheckpoint(training) {
  const { live, history, checkpoint } = training;
  const answer = async (now) => {
    const known = await history();
    return checkpoint(known.checkpoints[chosen(known, now)]);
  };
  return make("div", {},
    live(async (now) => output(await answer(now))),
    make("p", {}, "The figures below are for the same output tokens at each checkpoint, so that they can be compared."),
    live((now) => controls(training, now, ["kind", "layer", "head"])),
    live(async (now) => attention(training, now, await answer(now))),
    live((now) => controls(training, now, ["token"])),
    live(async (now) => neighbours(now, await answer(now))));
}

const output = ({ step, translation }) => make("p", {}, `At step ${step}, the model writes: `,
  make("bdi", { id: "output", class: "token-name" }, translation || "nothing"));

function attention({ found, state }, now, answer) {
  const rows = rowsOf(found, now);
  const caption = `${KINDS[now.kind]}, layer ${now.layer + 1}, head ${now.head + 1}, at step ${answer.step}: each row sums to 1` +
    chosenRow(found, now);
  return figure({ id: "map", caption }, heatMap({
    key: "map", values: answer[`${now.kind}_attention`].part(now.layer, now.head), limit: 1, rows, columns: now.keys,
    rowName: rowName(now), columnName: "key", chosen: [now.query, now.key],
    isMasked: (query, key) => isMasked(now.kind, query, key), choose: (query, key) => state.set({ query, key }),
    describe: (query, key, value) =>
      `${rows[query]} attends to ${now.keys[key]}: ${isMasked(now.kind, query, key) ? "masked" : percent(value)}`,
  }));
}

function neighbours(now, answer) {
  const side = now.kind === "encoder" ? "source" : "target";
  const token = now.queries[now.query];
  const cosines = answer[`${side}_cosines`].row(now.query);
  const caption = `The embeddings that are nearest to that of ${token} at step ${answer.step}, by cosine`;
  return figure({ id: "nearest", caption }, bars({
    key: "nearest", limit: 1,
    items: answer[`${side}_neighbours`][now.query].map((piece, i) => ({ label: pieceLabel(piece), value: cosines[i] })),
    describe: ({ label, value }) => `cosine of ${token} and ${label}: ${number(value)}`,
  }));
}
