"""The machines that train together, read from TensorFlow's environment variable `TF_CONFIG`."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from keras_nmt.app.errors import TemporaryError, UserError

EXAMPLE = '{"cluster": {"worker": ["HOST:PORT", "HOST:PORT"]}, "task": {"type": "worker", "index": 0}}'
MOST_PORT = 65535


class Task(NamedTuple):
    """One process of a training: its job ("chief" or "worker"), its number in this job, its address HOST:PORT."""

    job: str
    number: int
    address: str

    @property
    def host_and_port(self) -> tuple[str, int]:
        """The host and the port of the address. The brackets of an IPv6 host, as in [::1]:2222, are removed."""
        host, _, port = self.address.rpartition(":")
        return host.strip("[]"), int(port)


@dataclass(frozen=True)
class Cluster:
    """The processes of a training, and the index of this process. If there is only one process, it is the chief.

    Attributes:
        tasks: All processes, the chief first.
        index: The index of this process in `tasks`.
    """

    tasks: tuple[Task, ...] = (Task("worker", 0, "localhost:0"),)
    index: int = 0

    @classmethod
    def from_environment(cls) -> Self:
        """Returns the cluster that `TF_CONFIG` describes. Without the variable, returns a cluster of one process.

        Raises:
            UserError: `TF_CONFIG` cannot be read, has a job other than "chief" and "worker", or has several chiefs.
        """
        text = os.environ.get("TF_CONFIG", "")
        if not text:
            return cls()
        try:
            description = json.loads(text)
            tasks = _tasks(description["cluster"])
            mine = (description["task"]["type"], _index(description["task"]["index"]))
        except json.JSONDecodeError as error:
            raise UserError(f"TF_CONFIG is not JSON ({error}); expected {EXAMPLE}") from error
        except (LookupError, TypeError, ValueError, RecursionError) as error:
            raise UserError(f"TF_CONFIG is {text}; expected {EXAMPLE}") from error
        _check(tasks)
        here = [i for i, task in enumerate(tasks) if (task.job, task.number) == mine]
        if not here:
            known = ", ".join(f"{task.job} {task.number}" for task in tasks)
            raise UserError(f"TF_CONFIG: this task is {mine[0]} {mine[1]}, but the cluster has only {known}")
        return cls(tuple(tasks), here[0])

    @property
    def size(self) -> int:
        """The number of processes that train together."""
        return len(self.tasks)

    @property
    def is_chief(self) -> bool:
        """True if this process is the chief, which writes the run."""
        return self.index == 0

    def name(self, index: int) -> str:
        """Returns the name of a process for messages."""
        task = self.tasks[index]
        return f"the chief ({task.address})" if index == 0 else f"{task.job} {task.number} ({task.address})"

    def lost(self, message: str) -> TemporaryError:
        """Returns the error to raise if a process no longer answers.

        Args:
            message: The message of TensorFlow's error, which usually names the process.
        """
        named = {(job, int(number)) for job, number in re.findall(r"/job:(\w+)/(?:replica:0/)?task:(\d+)", message)}
        if not named and "CoordinationService" in message:
            named = {self.tasks[0][:2]}  # the service runs in the chief
        names = [self.name(i) for i, task in enumerate(self.tasks) if task[:2] in named and i != self.index]
        return TemporaryError(
            f"lost {' and '.join(names) or 'another worker'}; start the same command again on every machine, and "
            "training goes on from the last checkpoint"
        )


ALONE = Cluster()


def _tasks(jobs: Mapping[str, list[str]]) -> list[Task]:
    """Returns all tasks of a cluster, the chief first; raises `TypeError` if a job has no list of addresses."""
    if not (isinstance(jobs, dict) and all(isinstance(addresses, list) for addresses in jobs.values())):
        raise TypeError
    return [Task(job, i, address) for job in sorted(jobs) for i, address in enumerate(jobs[job])]


def _index(value: Any) -> int:
    """Converts a task's number, which may be a string, to an integer; raises `ValueError` if it is not a number."""
    if isinstance(value, bool) or not re.fullmatch("[0-9]{1,9}", str(value)):
        raise ValueError
    return int(value)


def _check(tasks: list[Task]) -> None:
    """Raises `UserError` if these tasks cannot train together."""
    for task in tasks:
        if task.job not in ("chief", "worker"):
            raise UserError(f'TF_CONFIG: there is a task of type "{task.job}"; the types are "chief" and "worker"')
        if wrong := _wrong_address(task.address):
            raise UserError(f"TF_CONFIG: the address of {task.job} {task.number} is {task.address!r}; {wrong}")
    if not tasks:
        raise UserError(f"TF_CONFIG: the cluster has no worker; expected {EXAMPLE}")
    if sum(task.job == "chief" for task in tasks) > 1:
        raise UserError('TF_CONFIG: the cluster has more than one "chief"; make the others of type "worker"')
    addresses = [task.address for task in tasks]
    for address in addresses:
        if addresses.count(address) > 1:
            raise UserError(f"TF_CONFIG: more than one worker has the address {address}; give each its own port")


def _wrong_address(address: Any) -> str:
    """Returns a message that says what is wrong with a task's address, or "" if the address is valid."""
    found = re.fullmatch(r"(\[[0-9A-Fa-f:.%]+\]|[^][:/@\s]+):([0-9]+)", address) if isinstance(address, str) else None
    if not found:
        return "write HOST:PORT, and an IPv6 address in square brackets"
    host, port = found.groups()
    if not 1 <= int(port[:9]) <= MOST_PORT:
        return f"a port is between 1 and {MOST_PORT}"
    if not host.startswith("[") and any(not 1 <= len(label) <= 63 for label in host.removesuffix(".").split(".")):
        return "each part of a host name between dots has 1 to 63 characters"
    return ""
