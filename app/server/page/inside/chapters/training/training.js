// Training: the model at each checkpoint of a run, and one real training step on the sentence.
import { make } from "../../../elements.js";
import { figure, lineChart, number } from "../../charts.js";
import { atCheckpoint } from "./checkpoint.js";
import { chosen, player } from "./player.js";
import { stepForm } from "./step.js";

export default {
  id: "training",
  title: "Training",
  applies: (model) => model.training === true, // the server has a run open

  render(context) {
    const { found, live, source } = context;
    const answers = new Map(); // promises by what was asked for
    const once = (name, ask) => {
      if (!answers.has(name)) {
        answers.set(name, ask());
        answers.get(name).catch(() => answers.delete(name)); // so that it can be tried again
      }
      return answers.get(name);
    };
    const history = () => once("history", () => source.training());
    const checkpoint = (step) => once(step, () => source.checkpoint(found, step));
    const training = { ...context, history, checkpoint };
    return make("div", {},
      make("p", {}, "Training begins with random weights. Each step computes the loss of a batch of sentence pairs and its gradient, " +
        "and moves each weight a little in the direction in which the loss falls. The run keeps some of the models on the way, " +
        "its checkpoints."),
      player(training),
      live(async (now) => course(await history(), now)),
      make("h3", {}, "The sentence at this checkpoint"),
      atCheckpoint(training),
      make("h3", {}, "One training step on this sentence"),
      stepForm(training));
  },
};

const NAMES = { dev_loss: "loss", dev_bleu: "BLEU", dev_chrf: "chrF", dev_bits_per_character: "bits a character" };
const PERPLEXITY = " The loss is in nats, which means with the natural logarithm, and includes label smoothing. The perplexity is e to " +
  "the power of the loss without smoothing, so it does not follow from the loss shown here.";
const APART = 0.01; // share by which they differ more than by rounding

// The loss of the whole training, with the checkpoint's step, and the checkpoint's results on the dev set.
function course(history, now) {
  const { metrics, checkpoints, dev } = history;
  const step = checkpoints[chosen(history, now)];
  const points = metrics.step.map((place, i) => [place, metrics.loss[i]]).filter(([, loss]) => loss !== null);
  if (!points.length) return make("p", {}, "The run has no losses yet.");
  const caption = `Training loss by step, with label smoothing; the orange line is step ${step}`;
  const results = Object.entries(dev).filter(([name]) => name !== "step")
    .map(([name, values]) => [NAMES[name] ?? name.replace("dev_", "").replaceAll("_", " "), values[dev.step.indexOf(step)]])
    .filter(([, value]) => Number.isFinite(value)).map(([name, value]) => `${name} ${number(value)}`);
  return make("div", {},
    figure({ id: "course", caption }, lineChart({
      key: "course", series: [{ name: "loss", values: points.map(([, loss]) => loss) }], places: points.map(([place]) => place),
      across: "step", up: "loss in nats a token", mark: step,
    })),
    results.length ? make("p", { id: "dev-results" }, `On the dev set, sentences that it is not trained on, this checkpoint has: ` +
      `${results.join(", ")}.${explained(dev, step)}`) : "");
}

// Why the perplexity is not e to the power of the loss, if it is not.
function explained({ step: steps, dev_loss: losses, dev_perplexity: perplexities }, step) {
  const i = steps.indexOf(step);
  const ratio = perplexities?.[i] / Math.exp(losses?.[i]);
  return Math.abs(ratio - 1) > APART ? PERPLEXITY : "";
}
