"""`nmt serve` as a process: its messages, its end, and wrong arguments."""

import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from keras_nmt.app.commands.serve import check_address
from keras_nmt.app.errors import UserError
from tests.app.command_line import nmt

ASKED = {"q": ["It rains. " * 20] * 5, "source": "en", "target": "de"}


@pytest.fixture
def process(export: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-m", "keras_nmt", "serve", str(export), "--port", "0"]
    started = subprocess.Popen(command, stderr=subprocess.PIPE, encoding="utf-8")
    assert started.stderr
    for line in started.stderr:
        if url := re.match(r"(http://127\.0\.0\.1:\d+) ", line):
            yield started, url.group(1)
            break
    started.kill()
    started.wait()
    started.stderr.close()


def test_it_answers_pending_requests_before_it_stops(process: tuple[subprocess.Popen[str], str]) -> None:
    started, url = process
    assert started.stderr
    answers: list[httpx.Response] = []
    asking = threading.Thread(target=lambda: answers.append(httpx.post(f"{url}/translate", json=ASKED, timeout=60)))
    asking.start()
    while "nmt_queue_texts 0.0" in httpx.get(f"{url}/metrics").text and not answers:
        time.sleep(0.01)
    started.send_signal(signal.SIGTERM)
    asking.join()
    assert answers[0].status_code == 200
    log = started.stderr.read()
    assert started.wait(30) in (0, -signal.SIGTERM, 143)
    assert '"path": "/translate", "status": 200' in log
    assert "It rains" not in log
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "give an EXPORT to serve"),
        (["none"], "none holds no export"),
        (["x", "--workers", "0"], "--workers is 0; it must be at least 1"),
        (["x", "--deadline", "0"], "--deadline is 0.0; it must be more than 0"),
        (["--new-api-key", "ann"], "--new-api-key needs a file"),
        (["x", "--api-keys", "none"], "cannot read the keys in none"),
        (["x", "--port", "99999"], "--port is 99999; it must be at most 65535"),
        (["x", "--proxy", "nginx"], "--proxy is 'nginx'; expected an address or a network"),
        (["x", "--root-path", "/a?b"], "--root-path is '/a?b'; expected a path such as /translate"),
        (["--inside"], "give an EXPORT to serve"),
        (["x", "--inside", "--host", "0.0.0.0"], "--inside is for this machine only, and --host is 0.0.0.0; leave one"),
        (["none", "--inside"], "none is not a run of `nmt train`: there is no such folder"),
    ],
)
def test_wrong_arguments_are_refused(arguments: list[str], reason: str) -> None:
    done = nmt("serve", *arguments)
    assert done.code == 1
    assert reason in done.complaints[0]


def test_an_unavailable_address_is_refused_before_a_model_is_loaded() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = nmt("serve", "none", "--port", port)
        assert done.code == 1
        reason = "address already in use; choose another --host or --port"
        assert done.complaints == [f"nmt serve: cannot listen at 127.0.0.1, port {port}: {reason}"]
    with pytest.raises(UserError, match=r"cannot listen at no\.such\.invalid, port 8501: .*; choose another"):
        check_address("no.such.invalid", 8501)
    check_address("localhost", 0)


@pytest.mark.slow
def test_a_killed_server_loses_only_pending_requests(process: tuple[subprocess.Popen[str], str]) -> None:
    started, url = process
    outcomes: list[int | str] = []

    def client() -> None:
        while True:
            try:
                outcomes.append(
                    httpx.post(f"{url}/translate", json={**ASKED, "q": "It rains."}, timeout=60).status_code
                )
            except httpx.TransportError as error:
                outcomes.append(type(error).__name__)
                return

    clients = [threading.Thread(target=client) for _ in range(8)]
    for thread in clients:
        thread.start()
    while len(outcomes) < 50:
        pass
    started.kill()
    for thread in clients:
        thread.join()
    assert outcomes.count(200) == len(outcomes) - len(clients)  # each client lost its pending request
