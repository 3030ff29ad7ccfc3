"""All tasks, by name."""

import difflib

from keras_nmt.app.errors import UserError
from keras_nmt.app.tasks.language_model import LanguageModelling
from keras_nmt.app.tasks.parsing import Parsing
from keras_nmt.app.tasks.summarization import Summarization
from keras_nmt.app.tasks.task import Task
from keras_nmt.app.tasks.translation import Translation

TASKS: dict[str, Task] = {task.name: task for task in (Translation(), Summarization(), Parsing(), LanguageModelling())}


def task_named(name: str) -> Task:
    """Returns a task.

    Raises:
        UserError: This version of the program does not know the task.
    """
    if name not in TASKS:
        near = difflib.get_close_matches(name, TASKS, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise UserError(f"unknown task {name!r}; {hint}known: {', '.join(TASKS)}")
    return TASKS[name]
