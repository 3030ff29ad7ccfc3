"""`nmt generate`: continues a prompt with a language model, and prints the text as it is written."""

import argparse
import math
import sys
from pathlib import Path

from keras_nmt.app.arguments import Verbs, add_checkpoint_options
from keras_nmt.app.commands.text.translate import check_ranges, check_verb
from keras_nmt.app.errors import UserError

SETTINGS = ("temperature", "top_k", "top_p", "max_tokens", "no_repeat_ngram_size", "repetition_penalty")
MAX_TOKENS = 200


def add_parser(verbs: Verbs) -> None:
    """Adds the parser of `nmt generate` to `verbs`, the subparsers of `nmt`."""
    parser = verbs.add_parser(
        "generate",
        help="continue a prompt with a language model",
        description="Prints the prompt and a text that continues it, as the model writes it.",
        epilog='example: nmt generate run --prompt "ROMEO:" --temperature 0.8',
    )
    add = parser.add_argument
    add("model", type=Path, metavar="MODEL", help="a run or an export of a language model")
    add("--prompt", default="", metavar="TEXT", help="text to continue (default: none, a new text)")
    add("--max-tokens", type=int, default=MAX_TOKENS, metavar="N", help=f"at most N tokens (default: {MAX_TOKENS})")
    add(
        "--temperature", type=float, metavar="T", help="below 1, make likely tokens more likely; 0: the most likely one"
    )
    add("--top-k", type=int, metavar="K", help="draw from the K most likely tokens (default: all)")
    add("--top-p", type=float, metavar="P", help="draw from the fewest tokens with this probability (default: 1)")
    add("--no-repeat-ngram-size", type=int, metavar="N", help="do not repeat any N tokens in a row")
    add("--repetition-penalty", type=float, metavar="P", help="above 1, make tokens that were used before less likely")
    add("--samples", type=int, default=1, metavar="N", help="number of texts, each with its own seed (default: 1)")
    add("--seed", type=int, default=1, metavar="S", help="seed of the first text; equal seeds draw the same")
    add("--stop", nargs="+", default=[], metavar="TEXT", help="end before any of these strings")
    add_checkpoint_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Prints the texts, separated by a line of dashes."""
    check_usage(arguments)
    from keras_nmt.app.runtime.tensorflow_start import import_tensorflow

    import_tensorflow()
    from keras_nmt.app.models.generation import generator_of_export
    from keras_nmt.app.models.loading import RunModel, load_model

    model = load_model(arguments.model, checkpoint=arguments.checkpoint, ensemble=arguments.ensemble)
    check_verb(arguments, model.task)
    generator = model.generator() if isinstance(model, RunModel) else generator_of_export(model)
    given = {name: getattr(arguments, name) for name in SETTINGS if getattr(arguments, name) is not None}
    settings = generator.steps.settings.changed(given)
    for number in range(arguments.samples):
        if number:
            print("-" * 20)
        print(arguments.prompt, end="", flush=True)
        seed = (arguments.seed + number) % 2**31
        parts = generator.generate(arguments.prompt, seed=seed, settings=settings, stop=arguments.stop)
        for part in parts:
            sys.stdout.write(part)
            sys.stdout.flush()
        print()


def check_usage(arguments: argparse.Namespace) -> None:
    """Raises `UserError` if a value is out of range."""
    least = {"max_tokens": 1, "samples": 1, "no_repeat_ngram_size": 0}
    for name, value in least.items():
        if (given := getattr(arguments, name)) is not None and given < value:
            raise UserError(f"--{name.replace('_', '-')} is {given}; it must be at least {value}")
    most = {"max_tokens": 2**20, "top_k": 2**31 - 1, "no_repeat_ngram_size": 2**31 - 1}
    for name, value in most.items():
        if (given := getattr(arguments, name)) is not None and given > value:
            raise UserError(f"--{name.replace('_', '-')} is {given}; it must be at most {value}")
    if arguments.temperature is not None and not 0 <= arguments.temperature < math.inf:
        raise UserError(f"--temperature is {arguments.temperature}; it must be a number of at least 0")
    if arguments.repetition_penalty is not None and not 0 < arguments.repetition_penalty <= 10:
        raise UserError(f"--repetition-penalty is {arguments.repetition_penalty}; it must be above 0 and at most 10")
    check_ranges(arguments, ("top_k", "top_p", "seed"))
    if "" in arguments.stop:
        raise UserError("--stop is empty; give the text to stop at")
