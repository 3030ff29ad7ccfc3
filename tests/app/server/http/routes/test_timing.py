"""The route that measures self-attention and a recurrent layer."""

import threading
from unittest import mock

from keras_nmt.app.server.engine import layer_timing
from keras_nmt.app.server.engine.layer_timing import LayerTimer, LayerTimes
from tests.app.server.serving import Running

DIRECTION = {"source": "en", "target": "de"}


def test_each_length_is_measured_once(server: Running) -> None:
    first = server.ok("/api/inside/timing", {"lengths": [16, 4, 16], **DIRECTION})
    assert first["lengths"] == [4, 16]
    assert all(time > 0 for name in ("self_attention", "recurrent") for time in first[name])
    assert len(first["recurrent"]) == len(first["self_attention"]) == 2
    second = server.ok("/api/inside/timing", {"lengths": [4, 16, 24], **DIRECTION})
    assert second["lengths"] == [4, 16, 24]
    assert second["recurrent"][:2] == first["recurrent"]
    assert second["device"] == first["device"] != ""


def test_long_and_many_sequences_are_refused(server: Running) -> None:
    for lengths in ([], [0], [1025], list(range(1, 10))):
        refused = server.post("/api/inside/timing", {"lengths": lengths, **DIRECTION})
        assert refused.status_code == 400
        assert "lengths" in refused.json()["error"]


def test_the_longest_sequences_are_left_out_if_the_time_is_over() -> None:
    timer = LayerTimer()
    with mock.patch.object(layer_timing, "LIMIT", 0.0):
        assert [times.length for times in timer.times(8, 2, [4, 2, 8])] == [2]
    assert [times.length for times in timer.times(8, 2, [2, 4, 8])] == [2, 4, 8]


def test_one_measurement_runs_at_a_time() -> None:
    timer, running, most = LayerTimer(), threading.Semaphore(0), []

    def measured(width: int, heads: int, lengths: list[int]) -> list[LayerTimes]:
        running.release()
        threading.Event().wait(0.05)
        most.append(running._value)
        running.acquire()
        return [LayerTimes(length, 1.0, 2.0) for length in lengths]

    with mock.patch.object(layer_timing, "measured", measured):
        threads = [threading.Thread(target=timer.times, args=(width, 2, [4])) for width in (8, 8, 16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert most == [1, 1]  # the second thread found what the first had measured
