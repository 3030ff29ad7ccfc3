// One training step on the sentence: the loss of each token, the gradient of each weight, and what the update changes.
import { make } from "../../../elements.js";
import { bars, figure, number, percent } from "../../charts.js";
import { bracket, equation, fraction, root, row, sub, sup, total, words } from "../../equations.js";
import { failure } from "../../failure.js";
import { hasSource, pieceLabel } from "../../tokens.js";
import { gradients } from "./gradients.js";
import { chosen } from "./player.js";

const [BETA_1, BETA_2] = ["0.9", "0.98"]; // of all runs
const SMALL = 0.05; // a learning rate below this part of the largest one changes little

// The form, and the figures of the step after the button was used.
export function stepForm(training) {
  const { found, history, live, now, source } = training;
  const reference = make("textarea", { dir: "auto", rows: 2, id: "reference" });
  reference.value = found.translation;
  const button = make("button", { type: "submit", class: "main" }, "Make a training step");
  const shown = make("div", { id: "step", "aria-live": "polite" });
  const form = make("form", { class: "step-form" },
    hasSource(found) ? make("label", {}, "Reference: the output to learn", reference) : make("p", {}, "It learns the text itself."),
    button);

  async function ask() {
    button.disabled = true;
    shown.setAttribute("aria-busy", "true");
    try {
      const known = await history();
      const step = known.checkpoints[chosen(known, now())];
      const answer = await source.trainingStep(found, step, hasSource(found) ? reference.value : "");
      shown.replaceChildren(figures(training, answer));
    } catch (error) {
      shown.replaceChildren(failure(error, ask));
    }
    shown.setAttribute("aria-busy", "false");
    button.disabled = false;
  }

  form.addEventListener("submit", (event) => { event.preventDefault(); ask(); });
  return make("div", {},
    make("p", {}, "The step starts from the chosen checkpoint. It is the one that the training would make there if this pair were ",
      "the whole batch, but without dropout. The server then forgets it."),
    ...equations(), live(async (now) => rate(await history(), now)), form, shown);
}

// The learning rate of the step, and why it changes little if it is small.
function rate(known, now) {
  const { checkpoints, learning_rates: rates } = known;
  const i = chosen(known, now);
  if (i < 0) return make("span", { hidden: "" }); // there is no checkpoint yet
  const most = Math.max(...rates);
  const other = `choose ${i < rates.indexOf(most) ? "a later" : "an earlier"} checkpoint`;
  const why = i < rates.indexOf(most) ? "It still rises (warm-up)" : "The schedule lets it fall towards the end";
  const said = rates[i] === 0 ? ` The schedule has brought it to 0, so this step changes nothing; ${other}.`
    : rates[i] < SMALL * most ? ` ${why}, so this step changes little; ${other} to see more.` : "";
  return make("p", { id: "rate" }, `At step ${checkpoints[i]}, the learning rate η is ${number(rates[i])}.${said}`);
}

// The loss, and the update of Adam.
const equations = () => [
  equation("Vaswani et al. 2017, Section 5.4", sub("loss", "t"), "=", "−", bracket("1", "−", "ε"), words("ln "), "p", bracket(sub("y", "t")), "−",
    fraction("ε", "V"), total(row("w", "=", "1"), "V"), words("ln "), "p", bracket("w")),
  equation("Section 5.3", "θ", "←", "θ", "−", "η", fraction(root("1", "−", sup(BETA_2, "n")), row("1", "−", sup(BETA_1, "n"))),
    fraction("m", row(root("v"), "+", sup("10", "−9")))),
  equation("", "m", "←", BETA_1, "m", "+", bracket("1", "−", BETA_1), "g"),
  equation("", "v", "←", BETA_2, "v", "+", bracket("1", "−", BETA_2), sup("g", "2")),
  make("p", {}, "The first equation is the loss of a token, in nats because ln is the natural logarithm. Label smoothing spreads " +
    "the part ε of the target over all V tokens, so that the model is not trained to be certain. The others are Adam’s update of a weight θ in step n: g is its gradient, m the " +
    "moving average of g, v that of g², and η the learning rate. Dropout, which sets random numbers to 0 in training, is left out."),
];

function figures(training, answer) {
  const { step, loss, smoothing, learning_rate: rate, gradient_norm: size, clip_norm: most, weight_decay: decay, applied } = answer;
  const facts = [
    `From step ${step}: the loss is ${number(loss)} nats a token, the learning rate η is ${number(rate)}, and all gradients together ` +
      `have the norm ${number(size)}.`,
    most && size > most ? `They are clipped to the norm ${number(most)}.` : "",
    decay ? `Before the update, all matrices shrink by the factor 1 − ${number(decay)} η (weight decay).` : "",
    answer.optimizer === "muon" ? "The optimizer is Muon, which updates the matrices of the layers by another rule than Adam." : "",
    applied ? "" : "A gradient is not finite, so nothing was updated.",
  ];
  return make("div", {},
    make("p", { id: "step-facts" }, facts.filter(Boolean).join(" ")),
    losses(answer, smoothing), probabilities(answer), gradients(training, answer));
}

const tokensOf = (answer) => answer.target_pieces.map(pieceLabel);

function losses(answer, smoothing) {
  const tokens = tokensOf(answer);
  const caption = `The loss of each token in nats, with label smoothing ε = ${smoothing}`;
  return figure({ id: "losses", caption }, bars({
    key: "losses", items: tokens.map((label, t) => ({ label, value: answer.token_losses[t] ?? NaN })),
    describe: ({ label, value }, t) => `loss of ${label}: ${number(value)} nats; probability ${percent(before(answer, t))}`,
  }));
}

const before = (answer, t) => Math.exp(answer.token_log_probabilities[t] ?? NaN);
const after = (answer, t) => Math.exp(answer.token_log_probabilities_after[t] ?? NaN);

// Two bars a token.
function probabilities(answer) {
  const tokens = tokensOf(answer);
  const items = tokens.flatMap((label, t) => [
    { label, value: before(answer, t), text: percent(before(answer, t)), isFaint: true },
    { label: "after", value: after(answer, t), text: percent(after(answer, t)) },
  ]);
  const fallen = tokens.filter((_, t) => after(answer, t) < before(answer, t)).length;
  const why = `${fallen === 1 ? "One token becomes" : `${fallen} tokens become`} less probable. The step follows the gradient of the ` +
    "whole sentence, not of each token, and moves every weight by the optimizer’s step size, which can be too far for one token.";
  return make("div", {},
    figure({ id: "probabilities", caption: "The probability of each token before (pale) and after the update" }, bars({
      key: "probabilities", items, limit: 1,
      describe: ({ text }, i) => `${tokens[i >> 1]}, ${i % 2 ? "after" : "before"} the update: ${text}`,
    })),
    fallen ? make("p", { id: "fallen" }, why) : "");
}
