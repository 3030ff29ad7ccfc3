"""No verb silently drops a repeated option."""

import argparse
from pathlib import Path

import pytest

from keras_nmt.app.arguments import ArgumentParser
from keras_nmt.app.cli import VERBS, build_parser, parsed


def parsers() -> dict[str, argparse.ArgumentParser]:
    (verbs,) = (action for action in build_parser()._actions if isinstance(action, argparse._SubParsersAction))
    return dict(verbs.choices)


def values_of(action: argparse.Action) -> list[str]:
    """Returns a valid value for the option."""
    value = str(next(iter(action.choices))) if action.choices else "1"
    return ["1,2"] if action.dest == "profile" else [value]


@pytest.mark.parametrize("verb", VERBS)
def test_every_repeated_option_is_joined_or_refused(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    parser = parsers()[verb]
    actions = [action for action in parser._actions if action.option_strings and action.nargs != 0]
    for action in parser._actions:
        action.required = False
    for action in actions:
        option = action.option_strings[-1]
        given = [option, *values_of(action)]
        once = vars(parser.parse_known_args(given)[0])[action.dest]
        if isinstance(once, list):
            assert vars(parser.parse_known_args(2 * given)[0])[action.dest] == 2 * once
            assert vars(parser.parse_known_args(given)[0])[action.dest] == once
            continue
        with pytest.raises(SystemExit):
            parser.parse_known_args(2 * given)
        assert f"{option}: is given twice; give it once" in capsys.readouterr().err


def test_the_corpora_of_repeated_options_are_joined() -> None:
    command = "prepare --pair en-de --corpus files:a files:b --dev files:c --corpus files:d --out data"
    arguments = parsed(command.split())
    assert arguments.corpora == ["files:a", "files:b", "files:d"]
    assert arguments.out == Path("data")


def test_values_replace_the_default_of_an_option() -> None:
    parser = ArgumentParser()
    parser.add_argument("--many", nargs="+", default=["default"])
    parser.add_argument("one", nargs="?")
    assert parser.parse_args(["x"]).many == ["default"]
    assert parser.parse_args(["x", "--many", "a", "--many", "b", "c"]).many == ["a", "b", "c"]
