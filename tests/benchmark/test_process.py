"""A case in its own process: what it answers, and how it ends."""

import contextlib
import functools
import multiprocessing
import os
import signal

import jax
import pytest

from hparse_jax.benchmark import process
from hparse_jax.benchmark.cases import Case
from hparse_jax.benchmark.process import CaseProcess, seconds_of
from hparse_jax.errors import InputError


def answers(prepare, *questions, monkeypatch):
    """What the process's function sends for these questions, called here."""
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # Ctrl-C still ends the tests
    ours, theirs = multiprocessing.Pipe()
    for question in questions:
        ours.send(question)
    process._work(theirs, prepare)
    theirs.close()
    with ours, contextlib.suppress(EOFError):
        found = []
        while True:
            found.append(ours.recv())
    return found


def test_only_the_call_itself_is_timed():
    now = 0.0

    @contextlib.contextmanager
    def turn():
        nonlocal now
        now += 10.0
        yield call
        now += 100.0

    def call():
        nonlocal now
        now += 3.0

    assert seconds_of(Case(1, turn, {}), clock=lambda: now) == 3.0
    assert now == 113.0


def test_a_call_is_made_for_each_question_until_the_end(monkeypatch):
    calls = []
    case = Case(7, lambda: contextlib.nullcontext(lambda: calls.append(1)), {"batch": 7})
    ready, first, second, memory = answers(
        lambda: case, "call", "call", "end", monkeypatch=monkeypatch
    )
    assert ready[:2] == (7, {"batch": 7})
    assert ready[2]["jax"] == jax.__version__
    assert first >= 0
    assert second >= 0
    assert len(calls) == 2
    assert memory["process_mib"] > 10


def fails(error):
    raise error


def test_a_wrong_input_is_handed_on(monkeypatch):
    (error,) = answers(lambda: fails(InputError("wrong")), monkeypatch=monkeypatch)
    assert isinstance(error, InputError)
    assert str(error) == "wrong"


def test_a_device_without_memory_is_a_wrong_input(monkeypatch):
    full = jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 7 bytes")
    (error,) = answers(lambda: fails(full), monkeypatch=monkeypatch)
    assert isinstance(error, InputError)
    assert "--batch" in str(error)
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"):
        answers(lambda: fails(jax.errors.JaxRuntimeError("INTERNAL: x")), monkeypatch=monkeypatch)


def test_a_process_that_the_system_ends_is_one_line():
    with pytest.raises(InputError, match=r"case big: .* signal 9, .* smaller --batch"):
        CaseProcess("big", functools.partial(signal.raise_signal, signal.SIGKILL))


def sleepy():
    return Case(1, lambda: contextlib.nullcontext(lambda: None), {})


def test_a_process_that_ends_between_its_turns_is_one_line():
    with CaseProcess("idle", sleepy) as case:
        case.time()
        os.kill(case._process.pid, signal.SIGKILL)
        case._process.join()
        with pytest.raises(InputError, match=r"case idle: .* signal 9"):
            case.time()


def test_an_error_of_the_system_is_handed_on(monkeypatch):
    (error,) = answers(lambda: fails(OSError(28, "no space left")), monkeypatch=monkeypatch)
    assert isinstance(error, OSError)
    assert error.errno == 28
