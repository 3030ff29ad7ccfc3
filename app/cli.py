"""The command line: runs one command, and reports a user error as one line on stderr.

Exit codes: 0 success, 1 unusable input, 2 unreadable command line, 75 the same command may succeed when it is started
again (EX_TEMPFAIL of sysexits.h), 130 interrupted, 143 training stopped by SIGTERM.
"""

import argparse
import errno
import importlib
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from keras_nmt.app.arguments import ArgumentParser, ShowVersion
from keras_nmt.app.errors import TemporaryError, UserError
from keras_nmt.app.runtime.signals import Stopped
from keras_nmt.app.runtime.streams import prepare_streams
from keras_nmt.pipelines.errors import DataError

VERBS = {  # the module of each command, in `app.commands`
    "demo": "demo.command",
    "prepare": "prepare",
    "train": "train",
    "average": "average",
    "import-marian": "import_marian",
    "evaluate": "evaluate",
    "translate": "text.translate",
    "summarize": "text.summarize",
    "parse": "text.parse",
    "generate": "text.generate",
    "score": "text.score",
    "export": "export",
    "serve": "serve",
    "inside": "inside",
}
DESCRIPTION = "Neural machine translation: from raw parallel text to a served model."


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    prepare_streams()
    arguments = parsed(argv)
    try:
        arguments.run(arguments)
        sys.stdout.flush()  # flushed here, so that a closed pipe is caught below
    except (UserError, DataError) as error:
        message, code = " ".join(str(error).split()), os.EX_TEMPFAIL if isinstance(error, TemporaryError) else 1
    except Stopped as stopped:
        message, code = str(stopped), stopped.exit_code
    except KeyboardInterrupt:
        message, code = "interrupted", 130
    except BrokenPipeError:
        # The reader of stdout has closed the pipe. Redirect stdout, so that Python's flush at exit does not fail.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except UnicodeEncodeError as error:
        if not "\udc80" <= error.object[error.start] <= "\udcff":
            raise
        message, code = f"{name_in(error)} is not UTF-8, which is required here; rename it", 1
    except OSError as error:
        if error.filename is None and error.errno != errno.ENOSPC:
            raise
        where = f"cannot use {error.filename}: " if error.filename else ""
        message, code = f"{where}{(error.strerror or 'error').lower()}", 1
    else:
        return 0
    print(f"nmt {arguments.verb}: {message}", file=sys.stderr)
    return code


def name_in(error: UnicodeEncodeError) -> str:
    """Returns the file name that caused the error because it is not UTF-8. The name's invalid bytes become escapes."""
    before, after = error.object[: error.start], error.object[error.start :]
    name = re.split(r"[\"'\n]", before)[-1] + re.split(r"[\"'\n]", after)[0]
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parses the command line. Accepts FILE also after the options; argparse accepts FILE only before them."""
    parser = build_parser()
    arguments, left_over = parser.parse_known_args(argv)
    if len(left_over) == 1 and not left_over[0].startswith("-") and vars(arguments).get("file") == Path("-"):
        arguments.file = Path(left_over.pop())
    if left_over:
        parser.error(f"unrecognized arguments: {' '.join(left_over)}")
    return arguments


def build_parser() -> argparse.ArgumentParser:
    """Builds the parser of all commands. Imports no slow module, so that --help is fast."""
    parser = ArgumentParser(prog="nmt", description=DESCRIPTION, epilog="example: nmt demo")
    parser.add_argument("--version", action=ShowVersion, nargs=0, help="show the version of nmt and of TensorFlow")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for module in VERBS.values():
        importlib.import_module(f"keras_nmt.app.commands.{module}").add_parser(verbs)
    return parser
