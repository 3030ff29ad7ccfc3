// The queries, keys and values of the chosen tokens, with what they are made from.
export const VECTORS = ["query", "key", "value"];
export const LETTERS = { query: ["q", "Q"], key: ["k", "K"], value: ["v", "V"] };

// The chosen vector, and the index of the chosen number of it.
export const vectorOf = (now) => (VECTORS.includes(now.vector) ? now.vector : "query");
export const entryOf = (now, width) => Math.min(now.dimension, width - 1);

// For each vector: the token, the vector x that is read, the matrix, the bias and the result.
export function partsOf(now, details) {
  return Object.fromEntries(VECTORS.map((name) => {
    const ofKey = now.kind === "cross" && name !== "query";
    const at = ofKey ? now.key : now.query;
    return [name, {
      token: ofKey ? now.keys[at] : now.queries[at], input: (ofKey ? details.key_input : details.query_input).row(at),
      matrix: details[`${name}_matrix`], bias: details[`${name}_bias`].data, result: details[name].row(at),
    }];
  }));
}
