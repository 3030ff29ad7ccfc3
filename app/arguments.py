"""An argument parser that forgets no option: one that takes several values may come again, any other comes once."""

import argparse
import platform
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any


class ArgumentParser(argparse.ArgumentParser):
    """argparse's parser, in which the values of an option that is given twice are joined, or it is refused."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in (None, "store"):  # what an option without an action has
            self.register("action", name, _StoreOnce)
        self.given: set[str] = set()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """argparse's, from a command line with no option given yet."""
        self.given = set()
        return super().parse_known_args(args, namespace)


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
    """Prints which nmt this is, and the packages that its results depend on most, and ends the program."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        """Reads what is installed; nothing is imported."""
        packages = ("tensorflow", "keras", "tensorflow-text", "ctranslate2", "sacrebleu")
        others = ", ".join(f"{package} {version(package)}" for package in packages)
        print(f"nmt {version('nmt')} ({others}; Python {platform.python_version()})")
        parser.exit()
