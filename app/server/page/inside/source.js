// Where the numbers come from: the server, or data that were saved with the page. Both have the same functions. They return
// promises that are rejected with an Error whose message is for the user.
import { decode } from "./arrays.js";

// `post` and `get` send a request to the server and return the promise of its answer. `hasRun` is true if the server has a run
// open, whose training can be shown. `fasterEngineIn(source, target)` is the name of the tab in which a faster engine computes the
// output of a model, or null.
export function serverSource(post, get, hasRun, fasterEngineIn) {
  const direction = (values) => ({ source: values.source, target: values.target, domain: values.domain });
  return {
    canAsk: true,

    // The tokens, the attention and all else of one sentence. `values` are those of the state.
    overview: async (values, signal) => {
      const found = await post("api/inside", { sentence: values.text, ...direction(values) }, signal);
      return {
        ...decode(found), model: { ...found.model, training: hasRun }, direction: direction(values),
        fasterEngineIn: fasterEngineIn(values.source, values.target),
      };
    },

    // The vectors of one head and of its layer, for a sentence that `overview` has found.
    layer: async (found, kind, layer, head) => decode(await post("api/inside/layer", {
      source_ids: found.source_ids, target_ids: found.target_ids, kind, layer, head, ...found.direction,
    })),

    // The time that layers of the model's width take on the server, for sequences of these lengths.
    timing: (found, lengths) => post("api/inside/timing", { lengths, ...found.direction }),

    // The steps of the checkpoints, and the loss by step.
    training: () => get("api/inside/training"),

    // What the model of a checkpoint computes for the sentence and for the target tokens that `overview` has found.
    checkpoint: async (found, step) => decode(await post("api/inside/checkpoint", {
      step, sentence: found.sentence, target_ids: found.target_ids, ...found.direction,
    })),

    // One training step from a checkpoint.
    trainingStep: (found, step, reference) => post("api/inside/step", {
      step, sentence: found.sentence, reference, ...found.direction,
    }),
  };
}

// `saved` has an `overview` and `layers`, an object of answers by names such as "encoder-0-0" (kind, layer, head). What all heads
// of a layer share can be under "encoder-0". It can have the `timing` of the machine that saved it.
export function savedSource(saved) {
  return {
    canAsk: false,
    overview: async () => decode(saved.overview),
    layer: async (found, kind, layer, head) => {
      const details = saved.layers[`${kind}-${layer}-${head}`];
      if (!details) throw new MissingNumbersError(kind, layer, saved.layers);
      return decode({ ...saved.layers[`${kind}-${layer}`], ...details });
    },
    timing: async () => saved.timing ?? null,
  };
}

// The error of numbers that a saved page does not hold, so that it is useless to try again.
export class MissingNumbersError extends Error {
  constructor(kind, layer, layers) {
    const held = Object.keys(layers).map((name) => name.split("-")).filter(([one, , head]) => one === kind && head === "0");
    const which = held.map(([, number]) => Number(number) + 1).join(", ");
    super(`This file does not hold these numbers of layer ${layer + 1}, to stay small. It holds those of layer ${which}. ` +
      `nmt inside … --layer ${layer + 1} writes a file with this one.`);
  }
}
