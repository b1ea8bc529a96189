"""Results: calls in turn, and the numbers of a line."""

import numpy as np
import pytest

from hparse_jax.benchmark import measure as module
from hparse_jax.benchmark.measure import line_of, measure, time_in_turn
from hparse_jax.benchmark.process import CaseProcess


class FakeProcess(CaseProcess):
    """A case without a process; notes in `log` what is asked of it. A call takes 2, 3, 4, ... s."""

    log, accelerator = [], None

    def __init__(self, name, prepare):
        self.log.append(f"start {name}")
        self._name, self._seconds = name, 1.0
        self.images, self.conditions = prepare()
        self.hardware = {"accelerator": self.accelerator}

    def __exit__(self, *exception):
        self.log.append(f"close {self._name}")

    def time(self):
        self.log.append(self._name)
        self._seconds += 1.0
        return self._seconds

    def finish(self):
        self.log.append(f"finish {self._name}")
        return {"process_mib": 12.3456, "device_mib": None}


@pytest.fixture
def log(monkeypatch):
    monkeypatch.setattr(module, "CaseProcess", FakeProcess)
    monkeypatch.setattr(FakeProcess, "log", [])
    return lambda: [entry for entry in FakeProcess.log if not entry.startswith("close")]


CASES = {"a": lambda: (10, {"batch": 10}), "b": lambda: (1, {})}


def test_each_call_is_made_once_before_any_is_made_again():
    made = []

    def call(name):
        made.append(name)
        return float(len(made))

    seconds = time_in_turn({"a": lambda: call("a"), "b": lambda: call("b")}, 3)
    assert made == ["a", "b"] * 3
    assert seconds == {"a": [1.0, 3.0, 5.0], "b": [2.0, 4.0, 6.0]}


def test_on_a_cpu_the_timed_calls_take_turns_after_all_warm_ups(log):
    measure(CASES, repeats=2, warmup=2)
    assert log() == [
        *("start a", "a", "a", "start b", "b", "b"),
        *("a", "b", "a", "b", "finish a", "finish b"),
    ]


def test_an_accelerator_is_left_before_the_next_case_starts(log, monkeypatch):
    monkeypatch.setattr(FakeProcess, "accelerator", "1 x TPU")
    measure(CASES, repeats=2)
    assert log() == ["start a", "a", "a", "a", "finish a", "start b", "b", "b", "b", "finish b"]


def test_a_line_holds_the_timed_calls_alone_and_what_it_depends_on(log):
    first, second = measure(CASES, repeats=2, warmup=2)
    assert (first["case"], second["case"]) == ("a", "b")
    assert (first["first_call_seconds"], first["seconds"]) == (2.0, [4.0, 5.0])
    assert (first["warmup"], first["repeats"], first["images"]) == (2, 2, 10)
    assert first["conditions"] == {"batch": 10}
    assert first["process_mib"] == 12.35


def test_processes_are_closed_when_a_call_fails(log, monkeypatch):
    monkeypatch.setattr(FakeProcess, "time", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        measure(CASES, repeats=1)
    assert FakeProcess.log == ["start a", "close a"]


def test_the_numbers_of_a_line_are_those_of_its_calls():
    seconds = np.random.default_rng(0).uniform(0.1, 0.9, 6)
    line = line_of("case", 8, seconds.tolist(), {"warmup": 1})
    wanted = {
        "ms_per_image": 1000 * np.median(seconds) / 8,
        "ms_smallest": 1000 * seconds.min() / 8,
        "ms_largest": 1000 * seconds.max() / 8,
        "images_per_second": 8 / np.median(seconds),
    }
    assert {name: line[name] for name in wanted} == pytest.approx(wanted, rel=5e-4)
    np.testing.assert_allclose(line["seconds"], seconds, rtol=5e-4)
    assert (line["case"], line["repeats"], line["warmup"]) == ("case", 6, 1)
