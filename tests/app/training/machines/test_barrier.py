"""The barrier at which machines meet before TensorFlow connects them, here between threads of one process."""

import json
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from keras_nmt.app.errors import TemporaryError, UserError
from keras_nmt.app.training.machines.barrier import ANSWER_SECONDS, barrier, listening
from keras_nmt.app.training.machines.cluster import Cluster, Task

FACTS = {"vocabulary": "a1", "training.steps": 4}


def cluster_of(size: int) -> list[Cluster]:
    """Returns a cluster on free ports of this machine, as each of its processes sees it."""
    sockets = [socket.create_server(("localhost", 0)) for _ in range(size)]
    tasks = tuple(Task("worker", i, f"localhost:{s.getsockname()[1]}") for i, s in enumerate(sockets))
    for each in sockets:
        each.close()
    return [Cluster(tasks, index) for index in range(size)]


class Participant:
    """A thread that enters the barrier in place of a process of the cluster."""

    def __init__(self, cluster: Cluster, facts: Mapping[str, Any], inside: Callable[[], None] = lambda: None) -> None:
        self.entered = self.left = False
        self.error: Exception | None = None
        self.thread = threading.Thread(target=self.participate, args=(cluster, facts, inside), daemon=True)
        self.thread.start()

    def participate(self, cluster: Cluster, facts: Mapping[str, Any], inside: Callable[[], None]) -> None:
        try:
            with barrier(cluster, facts):
                self.entered = True
                inside()
            self.left = True
        except Exception as error:
            self.error = error

    def ended(self) -> "Participant":
        self.thread.join(2 * ANSWER_SECONDS)
        assert not self.thread.is_alive()
        return self

    def wait_until_it_listens(self, cluster: Cluster) -> None:
        while True:
            with suppress(ConnectionRefusedError), socket.create_connection(cluster.tasks[cluster.index].host_and_port):
                return

    def complaint(self) -> str:
        self.ended()
        assert isinstance(self.error, UserError)
        return str(self.error)


@contextmanager
def still_waiting(*participants: Participant) -> Any:
    yield
    for each in participants:
        each.thread.join(0.3)
        assert not each.left


def test_all_enter_the_barrier_once_the_last_has_arrived_in_any_order():
    chief, one, two = cluster_of(3)
    early = Participant(two, FACTS)
    with still_waiting(early):
        leader = Participant(chief, FACTS)
    with still_waiting(early, leader):
        pass
    assert not leader.entered
    late = Participant(one, FACTS)
    assert all(each.ended().left for each in (early, leader, late))


def test_no_worker_leaves_the_barrier_before_the_chief():
    chief, one = cluster_of(2)
    prepared = threading.Event()
    leader = Participant(chief, FACTS, inside=lambda: prepared.wait(ANSWER_SECONDS) and None)
    other = Participant(one, FACTS)
    with still_waiting(leader, other):
        pass
    assert other.entered
    prepared.set()
    assert leader.ended().left
    assert other.ended().left


def test_differing_facts_stop_all_with_a_message_that_names_them():
    chief, one = cluster_of(2)
    leader, other = Participant(chief, FACTS), Participant(one, {**FACTS, "training.steps": 5})
    expected = (
        f"worker 1 ({one.tasks[1].address}) has training.steps = 5, the chief ({chief.tasks[0].address}) has 4; "
        "start the same command on the same data everywhere"
    )
    assert leader.complaint() == expected
    assert other.complaint() == f"the chief ({chief.tasks[0].address}) stopped: {expected}"


def test_a_differing_number_of_workers_is_reported():
    chief, one, _ = cluster_of(3)
    leader, other = Participant(Cluster(chief.tasks[:2], 0), FACTS), Participant(one, FACTS)
    assert "has workers in TF_CONFIG = 3, the chief" in leader.complaint()
    assert "has workers in TF_CONFIG = 3, the chief" in other.complaint()


def test_an_error_of_the_chief_inside_the_barrier_stops_the_workers():
    def refuse() -> None:
        raise UserError("run exists and is not a run; choose another --out")

    chief, one = cluster_of(2)
    leader, other = Participant(chief, FACTS, inside=refuse), Participant(one, FACTS)
    assert leader.complaint() == "run exists and is not a run; choose another --out"
    assert other.complaint().endswith("stopped: run exists and is not a run; choose another --out")


def test_a_chief_that_disconnects_inside_the_barrier_is_reported_as_lost():
    def vanish() -> None:
        raise RuntimeError

    chief, one = cluster_of(2)
    Participant(chief, FACTS, inside=vanish)
    other = Participant(one, FACTS).ended()
    assert isinstance(other.error, TemporaryError)
    assert str(other.error) == (
        f"lost the chief ({chief.tasks[0].address}); start the same command again on every machine, "
        "and training goes on from the last checkpoint"
    )


def test_a_second_process_with_the_same_index_is_refused():
    chief, one, two = cluster_of(3)
    leader, first = Participant(chief, FACTS), Participant(one, FACTS)
    with still_waiting(leader, first):
        pass
    elsewhere = Cluster((*one.tasks[:1], two.tasks[2], one.tasks[1]), 1)  # its own port is free
    assert "there are two of worker 1" in Participant(elsewhere, FACTS).complaint()
    last = Participant(two, FACTS)
    assert all(each.ended().left for each in (leader, first, last))


def test_a_worker_that_disconnected_while_waiting_may_connect_again():
    chief, one, two = cluster_of(3)
    leader = Participant(chief, FACTS)
    leader.wait_until_it_listens(chief)
    with listening(one.tasks[1]) as server, socket.create_connection(chief.tasks[0].host_and_port) as gone:
        gone.sendall(json.dumps([1, {"workers in TF_CONFIG": 3, **FACTS}]).encode() + b"\n")
        server.accept()[0].close()  # the chief has accepted the worker
    others = [Participant(one, FACTS), Participant(two, FACTS)]
    assert all(each.ended().left for each in (leader, *others))


def test_a_connection_of_another_program_to_the_chiefs_port_is_ignored():
    chief, one = cluster_of(2)
    leader = Participant(chief, FACTS)
    leader.wait_until_it_listens(chief)
    for greeting in (b"GET / HTTP/1.1\r\n\r\n", b"3\n", b""):
        with socket.create_connection(chief.tasks[0].host_and_port) as stranger:
            stranger.sendall(greeting)
    other = Participant(one, FACTS)
    assert leader.ended().left
    assert other.ended().left


def test_a_port_in_use_is_reported_in_one_line():
    one = cluster_of(2)[1]
    with socket.create_server(("", one.tasks[1].host_and_port[1])):
        complaint = Participant(one, FACTS).complaint()
    assert complaint.startswith(f"cannot listen on port {one.tasks[1].host_and_port[1]}")
    assert complaint.endswith("(Address already in use); end what uses it, or choose another port in TF_CONFIG")


def test_an_address_that_the_chief_cannot_reach_is_reported_in_one_line():
    chief, one = cluster_of(2)
    unreachable = Task("worker", 1, f"no-such-host.invalid:{one.tasks[1].host_and_port[1]}")
    leader = Participant(Cluster((chief.tasks[0], unreachable), 0), FACTS)
    other = Participant(one, FACTS)
    assert "the chief" in leader.complaint()
    assert "cannot reach that address" in leader.complaint()
    assert "correct TF_CONFIG or open the port" in other.complaint()
