// The candidates of a beam search as a tree. Each knows the candidate that it extends, and what became of it.
const END = "</s>";
const NONE = -1; // the parent of a candidate of the first step
const MOST_STEPS = 96; // the record of a longer search is cut

export const OUTCOMES = { finished: "finished", continues: "continues", dropped: "dropped", stopped: "the search ends" };

// Returns the steps of a search, each a list of candidates, best first:
//   {step, rank, piece, text, sum, parent, children, outcome, score}. `sum` is the log-probability of all its tokens;
//   `score` is null unless the candidate is finished; `parent` is null in the first step.
export function searchSteps(found) {
  const { beam_size: beams, length_penalty: alpha } = found.search;
  const steps = [];
  found.candidate_pieces.forEach((pieces, step) => {
    const isLast = step === found.candidate_pieces.length - 1 && step + 1 < MOST_STEPS;
    let continued = 0;
    const candidates = pieces.map((piece, rank) => {
      const sum = found.candidate_log_probabilities.at(step, rank);
      if (!Number.isFinite(sum)) return null; // there were not enough candidates
      const ends = piece === END;
      const survives = !ends && continued++ < beams;
      const number = found.candidate_parents[step][rank];
      const parent = number === NONE ? null : steps[step - 1].find((one) => one.rank === number);
      const score = ends ? sum / lengthPenalty(step + 1, alpha) : null;
      const outcome = ends ? "finished" : !survives ? "dropped" : isLast ? "stopped" : "continues";
      const candidate = { step, rank, piece, sum, parent, score, outcome, children: [], text: found.candidate_texts[step][rank] };
      parent?.children.push(candidate);
      return candidate;
    });
    steps.push(candidates.filter(Boolean));
  });
  return steps;
}

// Wu et al. 2016, Eq. 14.
export const lengthPenalty = (length, alpha) => ((5 + length) / 6) ** alpha;

// The log-probability of the last token of a candidate.
export const lastStep = (candidate) => candidate.sum - (candidate.parent?.sum ?? 0);

// A candidate and those that it extends, the first token last.
export function* path(candidate) {
  for (let one = candidate; one; one = one.parent) yield one;
}

export const finishedUntil = (steps, last) =>
  steps.slice(0, last + 1).flat().filter(({ outcome }) => outcome === "finished").sort((a, b) => b.score - a.score);

// The finished candidate that is the output; undefined if the record does not have it.
export function resultOf(found, steps) {
  const wanted = found.target_pieces.join("\n");
  return steps.flat().find((candidate) => candidate.outcome === "finished"
    && [...path(candidate)].reverse().map(({ piece }) => piece).join("\n") === wanted);
}
