"""Prints progress on stderr: a progress bar if stderr is a terminal, and permanent lines. Results go to stdout."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

SPEED_DECAY = 0.98  # the shown speed is a running mean over about fifty steps

console = Console(stderr=True, highlight=False, soft_wrap=True)


def say(line: str) -> None:
    """Prints one permanent line. Square brackets are not read as markup."""
    console.print(line, markup=False)


class TrainingProgress:
    """The progress bar of `nmt train`: step, loss, target tokens per second, time left."""

    def __init__(self, steps: int, first_step: int) -> None:
        self.bar = Progress(
            TextColumn("[bold]training"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]}"),
            TextColumn("{task.fields[speed]} tokens/s"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self.task = self.bar.add_task("", total=steps, completed=first_step, loss="-", speed="-")
        self.tokens = self.seconds = 0.0

    def advance(self, step: int, loss: float, target_tokens: int, seconds: float) -> None:
        """Updates the bar after a step."""
        self.tokens = SPEED_DECAY * self.tokens + target_tokens
        self.seconds = SPEED_DECAY * self.seconds + seconds
        speed = f"{self.tokens / self.seconds:,.0f}"
        self.bar.update(self.task, completed=step, loss=f"{loss:.3f}", speed=speed)

    def evaluated(self, step: int, results: Mapping[str, float]) -> None:
        """Prints a permanent line with the results of a dev evaluation."""
        figures = "  ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in results.items())
        speed = f"{self.tokens / self.seconds:,.0f} tokens/s" if self.seconds else ""
        say(f"step {step}  {figures}  {speed}".rstrip())


@contextmanager
def work_bar(names: Mapping[str, str]) -> Iterator["WorkBar"]:
    """Yields a progress bar for work in phases; `names` maps each phase to the name that is shown."""
    bar = WorkBar(names)
    with bar.bar:
        yield bar
        bar.finish()


class WorkBar:
    """A progress bar of the current phase. When a phase ends, a permanent line says how long the phase took."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self.names = names
        self.bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.completed:,.0f}"),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self.phase: str | None = None
        self.done = 0
        self.total: int | None = None
        self.started = time.perf_counter()
        self.task = self.bar.add_task("", total=None)

    def __call__(self, phase: str, done: int, total: int | None) -> None:
        """Shows that `done` of `total` units of a phase are done; `total` is None if the total is unknown."""
        if phase != self.phase:
            self.finish()
            self.phase, self.started = phase, time.perf_counter()
            self.bar.reset(self.task, description=self.names.get(phase, phase), total=total)
        self.done, self.total = done, total
        self.bar.update(self.task, completed=done, total=total)

    def add(self, phase: str, units: int) -> None:
        """Shows that `units` more units of the current phase are done."""
        self(phase, self.done + units, self.total)

    def finish(self) -> None:
        """Ends the current phase, if there is one, and prints the number of its units and its duration."""
        if self.phase is not None:
            seconds = time.perf_counter() - self.started
            say(f"{self.names.get(self.phase, self.phase)}: {self.done:,} in {seconds:.1f} s")
        self.phase, self.done = None, 0
