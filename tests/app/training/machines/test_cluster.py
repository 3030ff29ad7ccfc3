"""Who trains together: `TF_CONFIG`, and the meeting before TensorFlow begins, here between threads."""

import json
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from app.errors import TemporaryError, UserError
from app.training.machines.cluster import ANSWER_SECONDS, Cluster, Task, listening

TWO = {"worker": ["one:2222", "two:2222"]}
FACTS = {"vocabulary": "a1", "training.steps": 4}


def described(monkeypatch: pytest.MonkeyPatch, cluster: Any, job: str = "worker", index: Any = 0) -> Cluster:
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": {"type": job, "index": index}}))
    return Cluster.from_environment()


def test_without_tf_config_a_process_is_the_chief_of_itself(monkeypatch):
    for value in (None, ""):
        monkeypatch.delenv("TF_CONFIG", raising=False)
        if value is not None:
            monkeypatch.setenv("TF_CONFIG", value)
        alone = Cluster.from_environment()
        assert (alone.size, alone.is_chief) == (1, True)
        with alone.meeting(FACTS):
            pass


def test_worker_0_is_the_chief_unless_there_is_one_by_that_name(monkeypatch):
    first, second = described(monkeypatch, TWO), described(monkeypatch, TWO, index="1")
    assert [(c.index, c.size, c.is_chief) for c in (first, second)] == [(0, 2, True), (1, 2, False)]
    three = {"worker": ["one:1", "two:2"], "chief": ["zero:1"]}
    assert described(monkeypatch, three, "chief").is_chief
    worker = described(monkeypatch, three, "worker", 0)
    assert (worker.index, worker.is_chief) == (1, False)
    assert [worker.name(i) for i in range(3)] == ["the chief (zero:1)", "worker 0 (one:1)", "worker 1 (two:2)"]


@pytest.mark.parametrize(
    ("job", "address"), [("chief", "localhost:2222"), ("worker", "10.0.0.1:65535"), ("chief", "[::1]:1")]
)
def test_a_machine_alone_trains_whatever_it_is_called(monkeypatch, job, address):
    alone = described(monkeypatch, {job: [address], **({"worker": []} if job == "chief" else {})}, job)
    assert (alone.size, alone.is_chief, alone.tasks[0].address) == (1, True, address)


def test_an_address_of_ipv6_keeps_its_colons():
    assert Task("worker", 0, "[fd00::1]:2222").host_and_port == ("fd00::1", 2222)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("worker 0 of 2", 'TF_CONFIG is not JSON .*; expected {"cluster"'),
        ("[]", r'TF_CONFIG is \[\]; expected {"cluster"'),
        ("{}", 'TF_CONFIG is {}; expected {"cluster"'),
        ({"cluster": TWO}, 'TF_CONFIG is .*; expected {"cluster"'),
        ({"cluster": TWO, "task": {"type": "worker"}}, 'TF_CONFIG is .*; expected {"cluster"'),
        ({"cluster": TWO, "task": {"type": "worker", "index": "first"}}, 'TF_CONFIG is .*; expected {"cluster"'),
        ({"cluster": {}, "task": {"type": "worker", "index": 0}}, "the cluster has no worker"),
        ({"cluster": TWO, "task": {"type": "worker", "index": 2}}, "is worker 2, but .* only worker 0, worker 1$"),
        ({"cluster": TWO, "task": {"type": "chief", "index": 0}}, "is chief 0, but .* only worker 0, worker 1$"),
        ({"cluster": {**TWO, "ps": ["p:1"]}, "task": {"type": "worker", "index": 0}}, 'a task of type "ps"'),
        ({"cluster": {**TWO, "chief": ["a:1", "b:1"]}, "task": {"type": "chief", "index": 0}}, 'more than one "chief"'),
        ({"cluster": {"worker": ["one", "two:1"]}, "task": {"type": "worker", "index": 0}}, "'one'; write HOST:PORT"),
        (
            {"cluster": {"worker": ["a:99999", "b:1"]}, "task": {"type": "worker", "index": 0}},
            "'a:99999'; a port is between",
        ),
        (
            {"cluster": {"worker": ["a:0", "b:1"]}, "task": {"type": "worker", "index": 0}},
            "'a:0'; a port is between 1 and",
        ),
        (
            {"cluster": {"worker": ["a:" + "9" * 5000]}, "task": {"type": "worker", "index": 0}},
            "a port is between 1 and",
        ),
        (
            {"cluster": {"worker": ["grpc://a:1"]}, "task": {"type": "worker", "index": 0}},
            "'grpc://a:1'; write HOST:PORT",
        ),
        ({"cluster": {"worker": ["::1:22"]}, "task": {"type": "worker", "index": 0}}, "IPv6 in square brackets"),
        ({"cluster": {"worker": ["a:２２"]}, "task": {"type": "worker", "index": 0}}, "write HOST:PORT"),  # noqa: RUF001
        ({"cluster": {"worker": [f"{'a' * 64}:1"]}, "task": {"type": "worker", "index": 0}}, "1 to 63 characters"),
        ({"cluster": {"worker": [None]}, "task": {"type": "worker", "index": 0}}, "is None; write HOST:PORT"),
        (
            {"cluster": {"worker": "a:1"}, "task": {"type": "worker", "index": 0}},
            'TF_CONFIG is .*; expected {"cluster"',
        ),
        (
            {"cluster": {"worker": {"0": "a:1"}}, "task": {"type": "worker", "index": 0}},
            'TF_CONFIG is .*; expected {"cluster"',
        ),
        ({"cluster": None, "task": None}, 'TF_CONFIG is .*; expected {"cluster"'),
        ({"cluster": [], "task": {"type": "worker", "index": 0}}, 'TF_CONFIG is .*; expected {"cluster"'),
        ({"cluster": TWO, "task": {"type": "worker", "index": 0.5}}, 'TF_CONFIG is .*; expected {"cluster"'),
        ({"cluster": TWO, "task": {"type": "worker", "index": True}}, 'TF_CONFIG is .*; expected {"cluster"'),
        ({"cluster": TWO, "task": {"type": "worker", "index": -1}}, 'TF_CONFIG is .*; expected {"cluster"'),
        ({"cluster": TWO, "task": {"type": "worker", "index": 1e999}}, 'TF_CONFIG is .*; expected {"cluster"'),
        ({"cluster": {"worker": ["a:1", "a:1"]}, "task": {"type": "worker", "index": 0}}, "a:1 stands for more than"),
    ],
)
def test_a_tf_config_that_cannot_be_used_is_one_line(monkeypatch, text, message):
    monkeypatch.setenv("TF_CONFIG", text if isinstance(text, str) else json.dumps(text))
    with pytest.raises(UserError, match=message):
        Cluster.from_environment()


def cluster_of(size: int) -> list[Cluster]:
    """The views of the processes of a cluster on this machine, on ports that are free."""
    sockets = [socket.create_server(("localhost", 0)) for _ in range(size)]
    tasks = tuple(Task("worker", i, f"localhost:{s.getsockname()[1]}") for i, s in enumerate(sockets))
    for each in sockets:
        each.close()
    return [Cluster(tasks, index) for index in range(size)]


class Attendance:
    """A process of the cluster, as a thread that goes to the meeting."""

    def __init__(self, cluster: Cluster, facts: Mapping[str, Any], within: Callable[[], None] = lambda: None) -> None:
        self.entered = self.left = False
        self.error: Exception | None = None
        self.thread = threading.Thread(target=self.attend, args=(cluster, facts, within), daemon=True)
        self.thread.start()

    def attend(self, cluster: Cluster, facts: Mapping[str, Any], within: Callable[[], None]) -> None:
        try:
            with cluster.meeting(facts):
                self.entered = True
                within()
            self.left = True
        except Exception as error:
            self.error = error

    def ended(self) -> "Attendance":
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
def still_waiting(*attendances: Attendance) -> Any:
    yield
    for each in attendances:
        each.thread.join(0.3)
        assert not each.left


def test_the_meeting_begins_when_all_are_there_whoever_comes_first():
    chief, one, two = cluster_of(3)
    early = Attendance(two, FACTS)
    with still_waiting(early):
        leader = Attendance(chief, FACTS)
    with still_waiting(early, leader):
        pass
    assert not leader.entered
    late = Attendance(one, FACTS)
    assert all(each.ended().left for each in (early, leader, late))


def test_nobody_leaves_the_meeting_before_the_chief():
    chief, one = cluster_of(2)
    prepared = threading.Event()
    leader = Attendance(chief, FACTS, within=lambda: prepared.wait(ANSWER_SECONDS) and None)
    other = Attendance(one, FACTS)
    with still_waiting(leader, other):
        pass
    assert other.entered
    prepared.set()
    assert leader.ended().left
    assert other.ended().left


def test_other_facts_end_the_meeting_with_what_differs():
    chief, one = cluster_of(2)
    leader, other = Attendance(chief, FACTS), Attendance(one, {**FACTS, "training.steps": 5})
    expected = (
        f"worker 1 ({one.tasks[1].address}) has training.steps = 5, the chief ({chief.tasks[0].address}) has 4; "
        "start the same command on the same data everywhere"
    )
    assert leader.complaint() == expected
    assert other.complaint() == f"the chief ({chief.tasks[0].address}) stopped: {expected}"


def test_another_number_of_workers_is_told():
    chief, one, _ = cluster_of(3)
    leader, other = Attendance(Cluster(chief.tasks[:2], 0), FACTS), Attendance(one, FACTS)
    assert "has workers in TF_CONFIG = 3, the chief" in leader.complaint()
    assert "has workers in TF_CONFIG = 3, the chief" in other.complaint()


def test_the_chiefs_error_within_the_meeting_ends_the_others():
    def refuse() -> None:
        raise UserError("run exists and is not a run; choose another --out")

    chief, one = cluster_of(2)
    leader, other = Attendance(chief, FACTS, within=refuse), Attendance(one, FACTS)
    assert leader.complaint() == "run exists and is not a run; choose another --out"
    assert other.complaint().endswith("stopped: run exists and is not a run; choose another --out")


def test_a_chief_that_vanishes_from_the_meeting_is_a_lost_one():
    def vanish() -> None:
        raise RuntimeError

    chief, one = cluster_of(2)
    Attendance(chief, FACTS, within=vanish)
    other = Attendance(one, FACTS).ended()
    assert isinstance(other.error, TemporaryError)
    assert str(other.error) == (
        f"lost the chief ({chief.tasks[0].address}); start the same command again on every machine, "
        "and training goes on from the last checkpoint"
    )


def test_two_processes_of_the_same_index_are_told():
    chief, one, two = cluster_of(3)
    leader, first = Attendance(chief, FACTS), Attendance(one, FACTS)
    with still_waiting(leader, first):
        pass
    elsewhere = Cluster((*one.tasks[:1], two.tasks[2], one.tasks[1]), 1)  # its own port is free
    assert "there are two of worker 1" in Attendance(elsewhere, FACTS).complaint()
    last = Attendance(two, FACTS)
    assert all(each.ended().left for each in (leader, first, last))


def test_a_worker_that_went_away_before_the_meeting_may_come_again():
    chief, one, two = cluster_of(3)
    leader = Attendance(chief, FACTS)
    leader.wait_until_it_listens(chief)
    with listening(one.tasks[1]) as server, socket.create_connection(chief.tasks[0].host_and_port) as gone:
        gone.sendall(json.dumps([1, {"workers in TF_CONFIG": 3, **FACTS}]).encode() + b"\n")
        server.accept()[0].close()  # so far the chief has come
    others = [Attendance(one, FACTS), Attendance(two, FACTS)]
    assert all(each.ended().left for each in (leader, *others))


def test_a_stranger_at_the_chiefs_port_is_ignored():
    chief, one = cluster_of(2)
    leader = Attendance(chief, FACTS)
    leader.wait_until_it_listens(chief)
    for greeting in (b"GET / HTTP/1.1\r\n\r\n", b"3\n", b""):
        with socket.create_connection(chief.tasks[0].host_and_port) as stranger:
            stranger.sendall(greeting)
    other = Attendance(one, FACTS)
    assert leader.ended().left
    assert other.ended().left


def test_a_port_in_use_is_one_line():
    one = cluster_of(2)[1]
    with socket.create_server(("", one.tasks[1].host_and_port[1])):
        complaint = Attendance(one, FACTS).complaint()
    assert complaint.startswith(f"cannot listen on port {one.tasks[1].host_and_port[1]}")
    assert complaint.endswith("(Address already in use); end what uses it, or choose another port in TF_CONFIG")


def test_an_address_that_the_chief_cannot_reach_is_one_line():
    chief, one = cluster_of(2)
    unreachable = Task("worker", 1, f"no-such-host.invalid:{one.tasks[1].host_and_port[1]}")
    leader = Attendance(Cluster((chief.tasks[0], unreachable), 0), FACTS)
    other = Attendance(one, FACTS)
    assert "the chief" in leader.complaint()
    assert "cannot reach that address" in leader.complaint()
    assert "correct TF_CONFIG or open the port" in other.complaint()


@pytest.mark.parametrize(
    ("index", "message", "lost"),
    [
        (0, "The following tasks are unhealthy: /job:worker/replica:0/task:1 The tasks have crashed", "worker 1 (b:1)"),
        (1, "Deadline Exceeded RPC: /tensorflow.CoordinationService/Heartbeat", "the chief (a:1)"),
        (1, "recvmsg:Connection reset by peer, from remote target /job:worker/replica:0/task:0", "the chief (a:1)"),
        (0, "Error reported from /job:worker/task:1: /job:worker/replica:0/task:0 aborts", "worker 1 (b:1)"),
        (0, "Socket closed", "another worker"),
    ],
)
def test_tensorflows_words_are_read_for_who_was_lost(index, message, lost):
    cluster = Cluster((Task("worker", 0, "a:1"), Task("worker", 1, "b:1")), index)
    assert str(cluster.lost(message)).startswith(f"lost {lost}; start the same command again on every machine")
