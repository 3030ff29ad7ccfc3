"""`nmt train`: trains a model on prepared data."""

import argparse
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING

from keras_nmt.app.arguments import Verbs
from keras_nmt.app.errors import UserError

if TYPE_CHECKING:
    from keras_nmt.app.config import Sections

EXAMPLE = "nmt train data --out run --preset base --set training.steps=1000"
CHOSEN_BY_MINUTES = {"training.steps", "training.checkpoint_every"}


def add_parser(verbs: Verbs) -> None:
    """Adds the parser of `nmt train` to `verbs`, the subparsers of `nmt`."""
    parser = verbs.add_parser(
        "train",
        help="train a model on prepared data; the same command again resumes",
        description="Trains a Transformer on all visible devices, and on several machines if TF_CONFIG names them "
        "(docs/distributed.md). The same command again resumes from the last checkpoint. SIGTERM and Ctrl-C finish "
        "the step, write a checkpoint and exit with code 143 or 130; a second signal exits at once. Exit code 1: the "
        "input cannot be used, or the disk is full; 75: another machine was lost. With --minutes, the speed is "
        "measured first and as many steps are trained as fit the time. With --plan, only a few steps are trained, "
        "nothing is written, and the cost of the training is printed.",
        epilog=f"example: {EXAMPLE}",
    )
    parser.add_argument("data", type=Path, metavar="DATA", help="what `nmt prepare` wrote")
    parser.add_argument("--out", type=Path, metavar="RUN", help="folder of the run")
    add_configuration_options(parser)
    add_report_options(parser)
    parser.set_defaults(run=run, usage_error=parser.error)


def add_configuration_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that choose the preset, the settings, the training time and the initial weights."""
    add = parser.add_argument
    add(
        "--preset",
        default="base",
        metavar="NAME",
        help="demo, tiny, small, base, big, paper-base, paper-big, treebank, paper-parsing or language-model "
        "(default: base)",
    )
    add(
        "--set",
        dest="settings",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="change one setting of the preset; may be repeated",
    )
    add(
        "--minutes",
        type=positive_minutes,
        metavar="M",
        help="choose the number of steps, warm-up and checkpoints so that training ends within M minutes on this "
        "machine, measurement included; a run that resumes keeps its numbers",
    )
    add(
        "--warm-start",
        metavar="RUN",
        help="start from the weights of this run, which has the same vocabulary, with a new optimizer",
    )


def add_report_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that write a profile or print a plan."""
    add = parser.add_argument
    add(
        "--profile",
        type=step_range,
        metavar="FIRST,LAST",
        help="profile these steps for TensorBoard's Profile tab, which needs the package tensorboard-plugin-profile",
    )
    add("--plan", action="store_true", help="print size, shapes, memory, speed and hours instead of training")
    add("--json", action="store_true", help="with --plan, print one JSON object")


def step_range(text: str) -> tuple[int, int]:
    """Parses a range of steps: "10,20" -> (10, 20)."""
    try:
        first, last = map(int, text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f'cannot read "{text}"; give two steps, as in 10,20') from error
    return first, last


def positive_minutes(text: str) -> float:
    """Parses a number above 0: "6.5" -> 6.5."""
    try:
        minutes = float(text)
    except ValueError:
        minutes = 0.0
    if not 0 < minutes < math.inf:
        raise argparse.ArgumentTypeError(f'"{text}" is not a number of minutes above 0')
    return minutes


def run(arguments: argparse.Namespace) -> None:
    """Trains and prints the path of the run, or prints a plan."""
    started = time.perf_counter()
    check(arguments)
    from keras_nmt.app.runtime.tensorflow_start import import_tensorflow
    from keras_nmt.app.training.machines.cluster import Cluster

    cluster = Cluster.from_environment()
    if arguments.minutes and cluster.size > 1:
        raise UserError("--minutes is for one machine; with several in TF_CONFIG, use --set training.steps=N")
    import_tensorflow(start=cluster.size == 1)
    from keras_nmt.app.config import load_preset

    sections, origin = load_preset(arguments.preset, arguments.settings), f"preset {arguments.preset}"
    if arguments.warm_start:
        sections.setdefault("training", {})["warm_start"] = arguments.warm_start
    if arguments.plan:
        print_plan(arguments, sections, origin)
        return
    from keras_nmt.app.training.callbacks.profiling import ProfiledSteps
    from keras_nmt.app.training.train import train

    profile = ProfiledSteps(*arguments.profile) if arguments.profile else None
    where = arguments.data, arguments.out
    if arguments.minutes:
        from keras_nmt.app.training.planning.time_budget import TimeBudget, train_within

        done = train_within(TimeBudget(arguments.minutes, started), *where, sections, origin, profile=profile)
    else:
        done = train(*where, sections, origin, profile=profile, cluster=cluster)
    if done:
        print(done.path)


def print_plan(arguments: argparse.Namespace, sections: "Sections", origin: str) -> None:
    """Prints the plan of a training as text or JSON."""
    from keras_nmt.app.training.planning.plan import plan_training
    from keras_nmt.app.training.planning.report import as_json, as_text

    plan = plan_training(arguments.data, sections, origin)
    print(as_json(plan) if arguments.json else as_text(plan))


def check(arguments: argparse.Namespace) -> None:
    """Exits with a usage error if options exclude each other."""
    if not (arguments.out or arguments.plan):
        arguments.usage_error("add --out RUN, the folder to train in, or --plan")
    if arguments.plan and arguments.minutes:
        arguments.usage_error("--minutes is for a training; leave --plan out")
    set_names = {setting.partition("=")[0].strip() for setting in arguments.settings}
    if arguments.minutes and (both := CHOSEN_BY_MINUTES & set_names):
        arguments.usage_error(f"--minutes chooses {min(both)}; leave one of them out")
    if arguments.plan and arguments.profile:
        arguments.usage_error("--profile is for a training; leave --plan out")
    if arguments.json and not arguments.plan:
        arguments.usage_error("--json prints a plan; add --plan")
