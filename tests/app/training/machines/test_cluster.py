"""The machines that train together, as `TF_CONFIG` names them."""

import json
from typing import Any

import pytest

from keras_nmt.app.errors import UserError
from keras_nmt.app.training.machines.barrier import barrier
from keras_nmt.app.training.machines.cluster import Cluster, Task

TWO = {"worker": ["one:2222", "two:2222"]}


def described(monkeypatch: pytest.MonkeyPatch, cluster: Any, job: str = "worker", index: Any = 0) -> Cluster:
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": {"type": job, "index": index}}))
    return Cluster.from_environment()


def test_without_tf_config_a_process_is_the_chief_and_waits_for_nobody(monkeypatch):
    for value in (None, ""):
        monkeypatch.delenv("TF_CONFIG", raising=False)
        if value is not None:
            monkeypatch.setenv("TF_CONFIG", value)
        alone = Cluster.from_environment()
        assert (alone.size, alone.is_chief) == (1, True)
        with barrier(alone, {"training.steps": 4}):
            pass


def test_worker_0_is_the_chief_unless_a_task_has_the_type_chief(monkeypatch):
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
def test_a_single_machine_trains_alone_whatever_its_type(monkeypatch, job, address):
    alone = described(monkeypatch, {job: [address], **({"worker": []} if job == "chief" else {})}, job)
    assert (alone.size, alone.is_chief, alone.tasks[0].address) == (1, True, address)


def test_an_ipv6_address_keeps_its_colons():
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
        ({"cluster": {"worker": ["::1:22"]}, "task": {"type": "worker", "index": 0}}, "IPv6 address in square"),
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
        (
            {"cluster": {"worker": ["a:1", "a:1"]}, "task": {"type": "worker", "index": 0}},
            "more than one worker has the address a:1",
        ),
    ],
)
def test_an_unusable_tf_config_is_reported_in_one_line(monkeypatch, text, message):
    monkeypatch.setenv("TF_CONFIG", text if isinstance(text, str) else json.dumps(text))
    with pytest.raises(UserError, match=message):
        Cluster.from_environment()


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
def test_the_lost_machine_is_found_in_tensorflows_error_message(index, message, lost):
    cluster = Cluster((Task("worker", 0, "a:1"), Task("worker", 1, "b:1")), index)
    assert str(cluster.lost(message)).startswith(f"lost {lost}; start the same command again on every machine")
