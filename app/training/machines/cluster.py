"""The machines that train together: who they are, and that they agree before they begin.

`TF_CONFIG` names them, as for any TensorFlow program. Before TensorFlow joins them the workers meet over plain TCP at
the same addresses: TensorFlow's own wait cannot be interrupted and does not say for whom it waits, and workers that
hold different data would train on without a complaint. Only words are exchanged here; for tensors see `distribution`.
"""

import json
import os
import re
import select
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from app.errors import TemporaryError, UserError
from app.runtime.console import say
from pipelines.errors import DataError

EXAMPLE = '{"cluster": {"worker": ["HOST:PORT", "HOST:PORT"]}, "task": {"type": "worker", "index": 0}}'
ANSWER_SECONDS = 10.0  # within which a machine that is there answers
RETRY_SECONDS = 0.5
MOST_PORT = 65535
READY = ""  # any other word is an error's message

Facts = Mapping[str, Any]


class Task(NamedTuple):
    """One process of the training, as `TF_CONFIG` names it."""

    job: str
    number: int
    address: str

    @property
    def host_and_port(self) -> tuple[str, int]:
        """The two parts of the address; [::1]:2222 is one of IPv6."""
        host, _, port = self.address.rpartition(":")
        return host.strip("[]"), int(port)


@dataclass(frozen=True)
class Cluster:
    """The processes of a training, and which of them this one is; alone it is the chief of itself.

    Attributes:
        tasks: All, the chief first.
        index: Which one is this process.
    """

    tasks: tuple[Task, ...] = (Task("worker", 0, "localhost:0"),)
    index: int = 0

    @classmethod
    def from_environment(cls) -> Self:
        """The cluster that `TF_CONFIG` describes; without it this process trains alone.

        Raises:
            UserError: It cannot be read, or is not of a chief and workers, of a chief alone, or of workers.
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
        """How many processes train together."""
        return len(self.tasks)

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the run."""
        return self.index == 0

    def name(self, index: int) -> str:
        """What to call a process in a message."""
        task = self.tasks[index]
        return f"the chief ({task.address})" if index == 0 else f"{task.job} {task.number} ({task.address})"

    def meeting(self, facts: Facts) -> AbstractContextManager[None]:
        """Begins when all are here and hold equal facts; whoever leaves it knows that the chief has left it too.

        Args:
            facts: What must be the same everywhere, by its name in messages; values for JSON.

        Raises:
            UserError: Facts differ, an address cannot be used, or the chief has met an error within the meeting.
            TemporaryError: The chief is gone.
        """
        if self.size == 1:
            return nullcontext()
        return self._lead(facts) if self.is_chief else self._follow(facts)

    def lost(self, message: str) -> TemporaryError:
        """The error of which TensorFlow says `message` when a process of the cluster does not answer any more."""
        named = {(job, int(number)) for job, number in re.findall(r"/job:(\w+)/(?:replica:0/)?task:(\d+)", message)}
        if not named and "CoordinationService" in message:
            named = {self.tasks[0][:2]}  # it runs in the chief
        names = [self.name(i) for i, task in enumerate(self.tasks) if task[:2] in named and i != self.index]
        return TemporaryError(
            f"lost {' and '.join(names) or 'another worker'}; start the same command again on every machine, and "
            "training goes on from the last checkpoint"
        )

    @contextmanager
    def _lead(self, facts: Facts) -> Iterator[None]:
        """The chief's part: waits for all, then says when it is ready, or what is wrong."""
        workers: dict[int, socket.socket] = {}
        try:
            with listening(self.tasks[0]) as server:
                say(f"waiting for {self.size - 1} other worker(s) at {self.tasks[0].address}")
                while len(workers) < self.size - 1:
                    self._welcome(server, facts, workers)
            tell(workers, READY)
            yield
            tell(workers, READY)
        except (UserError, DataError) as error:
            tell(workers, str(error))
            raise
        finally:
            for connection in workers.values():
                connection.close()

    def _welcome(self, server: socket.socket, facts: Facts, workers: dict[int, socket.socket]) -> None:
        """Takes in the next that comes, and forgets those that are gone."""
        connection, _ = server.accept()
        connection.settimeout(ANSWER_SECONDS)
        try:
            index, theirs = hear(connection)
        except (OSError, ValueError, TypeError):  # no worker of ours
            connection.close()
            return
        forget_gone(workers)
        if index in workers:
            tell({index: connection}, f"there are two of {self.name(index)}; give each machine its own index")
            connection.close()
            return
        workers[index] = connection
        self._compare(index, facts, theirs)
        reason = self._unreachable(index)
        forget_gone(workers)
        if reason and index in workers:
            raise UserError(
                f"{self.name(index)} came, but {self.name(0)} cannot reach that address ({reason}); "
                "correct TF_CONFIG or open the port"
            )

    def _compare(self, index: int, facts: Facts, theirs: Facts) -> None:
        """Holds another's facts to the chief's."""
        ours = json.loads(json.dumps({"workers in TF_CONFIG": self.size, **facts}))
        for name in ours | theirs:
            if ours.get(name) != theirs.get(name):
                who = self.name(index) if index < self.size else f"worker {index}"
                raise UserError(
                    f"{who} has {name} = {theirs.get(name)}, {self.name(0)} has {ours.get(name)}; "
                    "start the same command on the same data everywhere"
                )

    def _unreachable(self, index: int) -> OSError | None:
        """Tries a connection the other way, as TensorFlow will need it; gives what is wrong with it."""
        try:
            socket.create_connection(self.tasks[index].host_and_port, ANSWER_SECONDS).close()
        except OSError as error:
            return error
        return None

    @contextmanager
    def _follow(self, facts: Facts) -> Iterator[None]:
        """Another worker's part: comes to the chief, and does not go on before it."""
        with listening(self.tasks[self.index]):
            connection = self._come({"workers in TF_CONFIG": self.size, **facts})
        with connection:
            yield
            try:
                word = hear(connection)
            except OSError as error:
                raise self.lost(f"/job:{self.tasks[0].job}/task:0") from error
            self._heed(word)

    def _come(self, facts: Facts) -> socket.socket:
        """Brings the facts to the chief as soon as it is there, and waits until all are."""
        said = ""
        while True:
            try:
                return self._present(facts)
            except (OSError, ValueError) as error:  # ValueError: of an earlier training, which is about to fail
                if str(error) != said:
                    said = str(error)
                    say(f"waiting for {self.name(0)}: {said}")
                time.sleep(RETRY_SECONDS)

    def _present(self, facts: Facts) -> socket.socket:
        with ExitStack() as closing:
            connection = socket.create_connection(self.tasks[0].host_and_port, ANSWER_SECONDS)
            closing.enter_context(connection)
            connection.settimeout(None)
            connection.sendall(json.dumps([self.index, facts]).encode() + b"\n")
            self._heed(hear(connection))
            closing.pop_all()
        return connection

    def _heed(self, word: str) -> None:
        if word != READY:
            raise UserError(f"{self.name(0)} stopped: {word}")


ALONE = Cluster()


def listening(task: Task) -> socket.socket:
    """Holds the port of this process, on all its networks.

    Raises:
        UserError: It cannot be used.
    """
    _, port = task.host_and_port
    try:
        return socket.create_server(("", port))
    except OSError as error:
        raise UserError(
            f"cannot listen on port {port} of {task.address} ({os.strerror(error.errno or 0)}); "
            "end what uses it, or choose another port in TF_CONFIG"
        ) from error


def tell(connections: Mapping[int, socket.socket], word: Any) -> None:
    """Sends a word to whoever is still there."""
    for connection in connections.values():
        with suppress(OSError):
            connection.sendall(json.dumps(word).encode() + b"\n")


def hear(connection: socket.socket) -> Any:
    """Reads one line of JSON.

    Raises:
        OSError: The other side is gone.
        ValueError: It is not one of ours.
    """
    line = b""
    while not line.endswith(b"\n"):
        received = connection.recv(1)  # what comes behind the line is the next one's
        if not received:
            raise ConnectionResetError("it left")
        line += received
    return json.loads(line)


def forget_gone(connections: dict[int, socket.socket]) -> None:
    """Removes those whose other side, which has nothing to say now, has closed the connection."""
    readable, _, _ = select.select(list(connections.values()), [], [], 0)
    for index, connection in list(connections.items()):
        if connection in readable:
            connections.pop(index).close()


def _tasks(jobs: Mapping[str, list[str]]) -> list[Task]:
    """All tasks of a cluster; `TypeError` if a job has no list of them."""
    if not (isinstance(jobs, dict) and all(isinstance(addresses, list) for addresses in jobs.values())):
        raise TypeError
    return [Task(job, i, address) for job in sorted(jobs) for i, address in enumerate(jobs[job])]


def _index(value: Any) -> int:
    """A task's number, which some write as text; `ValueError` if it is none."""
    if isinstance(value, bool) or not re.fullmatch("[0-9]{1,9}", str(value)):
        raise ValueError
    return int(value)


def _check(tasks: list[Task]) -> None:
    """Holds the cluster to what can train together."""
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
            raise UserError(f"TF_CONFIG: the address {address} stands for more than one worker; give each its own port")


def _wrong_address(address: Any) -> str:
    """What is wrong with the address of a task; "" if nothing is."""
    found = re.fullmatch(r"(\[[0-9A-Fa-f:.%]+\]|[^][:/@\s]+):([0-9]+)", address) if isinstance(address, str) else None
    if not found:
        return "write HOST:PORT, and an address of IPv6 in square brackets"
    host, port = found.groups()
    if not 1 <= int(port[:9]) <= MOST_PORT:
        return f"a port is between 1 and {MOST_PORT}"
    if not host.startswith("[") and any(not 1 <= len(label) <= 63 for label in host.removesuffix(".").split(".")):
        return "the parts of a host's name between dots have 1 to 63 characters"
    return ""
