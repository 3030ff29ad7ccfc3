"""An argument parser that never silently drops a repeated option, and options that several commands share."""

import argparse
import platform
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, Protocol


class ArgumentParser(argparse.ArgumentParser):
    """argparse's parser, with rules for options that store values and are given more than once.

    If an option takes a list of values, the lists are joined. If an option takes one value, giving it twice is an
    error. With argparse, the last value would silently replace the earlier ones.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in (None, "store"):  # None: an option that specifies no action
            self.register("action", name, _StoreOnce)
        self.given: set[str] = set()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Forgets which options an earlier call has parsed, then parses as argparse does."""
        self.given = set()
        return super().parse_known_args(args, namespace)


class Verbs(Protocol):
    """The commands of the command line: what `ArgumentParser.add_subparsers` returns."""

    def add_parser(self, name: str, *, help: str, description: str, epilog: str) -> ArgumentParser:
        """Adds a command, and returns the parser of its options."""


class _StoreOnce(argparse._StoreAction):
    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        assert isinstance(parser, ArgumentParser)
        if option_string and self.dest in parser.given:
            if self.nargs not in ("+", "*"):
                raise argparse.ArgumentError(self, "is given twice; give it once")
            values = [*getattr(namespace, self.dest), *(values or ())]
        parser.given.add(self.dest)
        super().__call__(parser, namespace, values, option_string)


class ShowVersion(argparse.Action):
    """The action of `--version`: prints the version of nmt and of the packages that its results depend on most."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        """Prints the versions and exits; reads the installed packages' metadata without importing them."""
        packages = ("tensorflow", "keras", "tensorflow-text", "ctranslate2", "sacrebleu")
        others = ", ".join(f"{package} {version(package)}" for package in packages)
        print(f"nmt {version('keras-nmt')} ({others}; Python {platform.python_version()})")
        parser.exit()


def add_checkpoint_options(parser: argparse.ArgumentParser) -> None:
    """Adds `--checkpoint` and `--ensemble`, which choose the weights of one or several runs."""
    parser.add_argument(
        "--checkpoint",
        metavar="WHICH",
        help="checkpoint of a run: best, last, average or a step (default: the average if it is the newest, else last)",
    )
    parser.add_argument(
        "--ensemble",
        action="append",
        default=[],
        metavar="RUN[:WHICH]",
        help="another run, whose probabilities are averaged with those of the model; may be repeated",
    )


def add_language_options(parser: argparse.ArgumentParser) -> None:
    """Adds `--to` and `--domain`, for models with several target languages or domains."""
    parser.add_argument("--to", metavar="LANG", help="target language, if the model has several")
    parser.add_argument("--domain", metavar="NAME", help="domain of the text, one of those the model was trained on")


def add_penalty_option(parser: argparse._ActionsContainer) -> None:
    """Adds `--length-penalty`."""
    parser.add_argument("--length-penalty", type=float, metavar="A", help="exponent of the length penalty; 0: none")
