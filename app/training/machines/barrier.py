"""The barrier at which the machines of a training meet before TensorFlow connects them.

When TensorFlow waits for the other machines, the wait cannot be interrupted, and no message says which machine is
missing. TensorFlow would also train without an error if the workers had different data. So every worker first connects
to the chief over plain TCP, at the addresses in `TF_CONFIG`. The chief compares the worker's facts with its own. Facts
are the values that must be equal on all machines.

The protocol is lines of JSON. A worker sends `[index, facts]`. The chief sends `READY` when all workers may enter the
context of `barrier`, and again when all workers may leave it. Instead of `READY`, the chief may send an error message.
The exchange of tensors is in the module `distribution`.
"""

import json
import os
import select
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from typing import Any

from keras_nmt.app.errors import UserError
from keras_nmt.app.runtime.console import say
from keras_nmt.app.training.machines.cluster import Cluster, Task
from keras_nmt.pipelines.errors import DataError

ANSWER_SECONDS = 10.0  # a machine that is running answers within this time
RETRY_SECONDS = 0.5
READY = ""  # any other answer of the chief is an error message

Facts = Mapping[str, Any]


def barrier(cluster: Cluster, facts: Facts) -> AbstractContextManager[None]:
    """Returns a context that all machines enter together, and that the workers leave after the chief.

    A machine enters the context when all machines have connected and have reported the same facts.

    Args:
        cluster: The machines that train together; a single machine does not wait.
        facts: The values that must be equal on all machines, by their name in messages; values that JSON can hold.

    Raises:
        UserError: The facts differ, an address cannot be used, or the chief raised an error inside the context.
        TemporaryError: The chief no longer answers.
    """
    if cluster.size == 1:
        return nullcontext()
    return _lead(cluster, facts) if cluster.is_chief else _follow(cluster, facts)


@contextmanager
def _lead(cluster: Cluster, facts: Facts) -> Iterator[None]:
    """The chief's part of `barrier`: waits for all workers, and sends them `READY` or an error message."""
    workers: dict[int, socket.socket] = {}
    try:
        with listening(cluster.tasks[0]) as server:
            say(f"waiting for {cluster.size - 1} other worker(s) at {cluster.tasks[0].address}")
            while len(workers) < cluster.size - 1:
                _admit(cluster, server, facts, workers)
        send(workers, READY)
        yield
        send(workers, READY)
    except (UserError, DataError) as error:
        send(workers, str(error))
        raise
    finally:
        for connection in workers.values():
            connection.close()


def _admit(cluster: Cluster, server: socket.socket, facts: Facts, workers: dict[int, socket.socket]) -> None:
    """Accepts and checks the next worker, and removes workers that have disconnected."""
    connection, _ = server.accept()
    connection.settimeout(ANSWER_SECONDS)
    try:
        index, theirs = receive(connection)
    except (OSError, ValueError, TypeError):  # not one of our workers
        connection.close()
        return
    drop_disconnected(workers)
    if index in workers:
        send({index: connection}, f"there are two of {cluster.name(index)}; give each machine its own index")
        connection.close()
        return
    workers[index] = connection
    _compare(cluster, index, facts, theirs)
    reason = _unreachable(cluster.tasks[index])
    drop_disconnected(workers)
    if reason and index in workers:
        raise UserError(
            f"{cluster.name(index)} connected, but {cluster.name(0)} cannot reach that address ({reason}); "
            "correct TF_CONFIG or open the port"
        )


def _compare(cluster: Cluster, index: int, facts: Facts, theirs: Facts) -> None:
    """Raises `UserError` if a worker's facts differ from the chief's."""
    ours = json.loads(json.dumps(_with_size(cluster, facts)))
    for name in ours | theirs:
        if ours.get(name) != theirs.get(name):
            who = cluster.name(index) if index < cluster.size else f"worker {index}"
            raise UserError(
                f"{who} has {name} = {theirs.get(name)}, {cluster.name(0)} has {ours.get(name)}; "
                "start the same command on the same data everywhere"
            )


def _unreachable(task: Task) -> OSError | None:
    """Tries to connect to a worker, as TensorFlow will do. Returns the error if the connection fails, else None."""
    try:
        socket.create_connection(task.host_and_port, ANSWER_SECONDS).close()
    except OSError as error:
        return error
    return None


@contextmanager
def _follow(cluster: Cluster, facts: Facts) -> Iterator[None]:
    """A worker's part of `barrier`: connects to the chief, and finally waits until the chief has left its context."""
    with listening(cluster.tasks[cluster.index]):
        connection = _join(cluster, facts)
    with connection:
        yield
        try:
            answer = receive(connection)
        except OSError as error:
            raise cluster.lost(f"/job:{cluster.tasks[0].job}/task:0") from error
        _require_ready(cluster, answer)


def _join(cluster: Cluster, facts: Facts) -> socket.socket:
    """Connects to the chief as soon as the chief listens, and waits until all workers have connected."""
    said = ""
    while True:
        try:
            return _present(cluster, facts)
        except (OSError, ValueError) as error:  # ValueError: an earlier training that is about to fail answered
            if str(error) != said:
                said = str(error)
                say(f"waiting for {cluster.name(0)}: {said}")
            time.sleep(RETRY_SECONDS)


def _present(cluster: Cluster, facts: Facts) -> socket.socket:
    """Sends the facts to the chief, and returns the connection once the chief has answered `READY`."""
    with ExitStack() as closing:
        connection = socket.create_connection(cluster.tasks[0].host_and_port, ANSWER_SECONDS)
        closing.enter_context(connection)
        connection.settimeout(None)
        connection.sendall(json.dumps([cluster.index, _with_size(cluster, facts)]).encode() + b"\n")
        _require_ready(cluster, receive(connection))
        closing.pop_all()
    return connection


def _with_size(cluster: Cluster, facts: Facts) -> dict[str, Any]:
    return {"workers in TF_CONFIG": cluster.size, **facts}


def _require_ready(cluster: Cluster, answer: str) -> None:
    if answer != READY:
        raise UserError(f"{cluster.name(0)} stopped: {answer}")


def listening(task: Task) -> socket.socket:
    """Returns a server socket on all network interfaces; its port is that of `task`, the task of this process.

    Raises:
        UserError: The port cannot be used.
    """
    _, port = task.host_and_port
    try:
        return socket.create_server(("", port))
    except OSError as error:
        raise UserError(
            f"cannot listen on port {port} of {task.address} ({os.strerror(error.errno or 0)}); "
            "end what uses it, or choose another port in TF_CONFIG"
        ) from error


def send(connections: Mapping[int, socket.socket], message: Any) -> None:
    """Sends a line of JSON to every worker that is still connected."""
    for connection in connections.values():
        with suppress(OSError):
            connection.sendall(json.dumps(message).encode() + b"\n")


def receive(connection: socket.socket) -> Any:
    """Reads one line of JSON.

    Raises:
        OSError: The other side has disconnected.
        ValueError: The line is not JSON.
    """
    line = b""
    while not line.endswith(b"\n"):
        received = connection.recv(1)  # bytes after the line belong to the next message
        if not received:
            raise ConnectionResetError("it left")
        line += received
    return json.loads(line)


def drop_disconnected(connections: dict[int, socket.socket]) -> None:
    """Closes and removes each connection that the worker has closed.

    Workers send nothing while they wait. So if a connection is readable, the worker has closed it.
    """
    readable, _, _ = select.select(list(connections.values()), [], [], 0)
    for index, connection in list(connections.items()):
        if connection in readable:
            connections.pop(index).close()
