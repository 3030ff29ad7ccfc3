// The tokens of a sentence, as labels, and which of them are the queries and the keys of a kind of attention.
export const SHORT_KINDS = { encoder: "Encoder", decoder: "Decoder", cross: "Encoder-decoder" };
export const KINDS = {
  encoder: "Encoder self-attention",
  decoder: "Decoder self-attention",
  cross: "Encoder-decoder attention",
};
const VISIBLE = { "": "⟨empty⟩", "</s>": "⟨end⟩", " ": "␣", "\n": "⏎", "\t": "⇥" };

export const pieceLabel = (piece) => (Object.hasOwn(VISIBLE, piece) ? VISIBLE[piece] : piece.replaceAll("\n", "⏎"));

export const hasSource = (found) => found.source_pieces !== undefined;
export const sourceTokens = (found) => found.source_pieces.map(pieceLabel);

// What the decoder reads: the target, one place to the right behind ⟨start⟩.
export const targetInputs = (found) => ["⟨start⟩", ...found.target_pieces.slice(0, -1).map(pieceLabel)];

// What the decoder predicts at each position.
export const targetOutputs = (found) => found.target_pieces.map(pieceLabel);

export const kindsOf = (found) => (hasSource(found) ? Object.keys(KINDS) : ["decoder"]);
export const queryTokens = (found, kind) => (kind === "encoder" ? sourceTokens(found) : targetInputs(found));
export const keyTokens = (found, kind) => (kind === "decoder" ? targetInputs(found) : sourceTokens(found));

// True if the mask forbids this query to attend to this key: in the decoder, a position sees no later one.
export const isMasked = (kind, query, key) => kind === "decoder" && key > query;
