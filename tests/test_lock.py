"""One writer in a folder: other processes of this machine and of another one, alive and dead."""

import signal
import subprocess
import sys
import time

import pytest

from hparse_jax.errors import InputError
from hparse_jax.lock import LOCK, sole_writer

HOLD = """
import sys, time
from hparse_jax.lock import sole_writer
with sole_writer(sys.argv[1]):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds tmp_path."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_process_is_refused_at_once_and_told_by_whom(tmp_path, holder):
    before = time.monotonic()
    refused = pytest.raises(InputError, match=f"process {holder.pid} on .* is at work there")
    with refused, sole_writer(tmp_path):
        pass
    assert time.monotonic() - before < 5


def test_the_lock_of_a_dead_process_is_taken_over_at_once(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / LOCK).exists()
    before = time.monotonic()
    with sole_writer(tmp_path):
        assert time.monotonic() - before < 5
    assert not (tmp_path / LOCK).exists()


def foreign(tmp_path, holder):
    """The marker of the holder as another machine would have written it."""
    text = (tmp_path / LOCK).read_text()
    holder.kill()
    holder.wait()
    lines = [f"host=elsewhere{x[5:]}" if x.startswith("host=") else x for x in text.splitlines()]
    return "\n".join(lines).replace("duration=30.0", "duration=1.0") + "\n"


def test_the_lock_of_another_machine_is_taken_over_when_it_shows_no_life(tmp_path, holder):
    (tmp_path / LOCK).write_text(foreign(tmp_path, holder))
    said = []
    before = time.monotonic()
    with sole_writer(tmp_path, said.append, lease=1.0):
        assert 0.9 < time.monotonic() - before < 30
    assert "on elsewhere" in said[0]


def test_the_lock_of_another_machine_that_lives_is_respected(tmp_path, holder):
    marker = foreign(tmp_path, holder)
    touching = """
import pathlib, sys, time
for _ in range(200):
    pathlib.Path(sys.argv[1]).write_text(sys.argv[2])
    time.sleep(0.1)
"""
    arguments = [sys.executable, "-c", touching, str(tmp_path / LOCK), marker]
    with subprocess.Popen(arguments) as process:
        while process.poll() is None and (tmp_path / LOCK).read_text() != marker:
            time.sleep(0.01)
        refused = pytest.raises(InputError, match="on elsewhere")
        with refused, sole_writer(tmp_path, lambda line: None, lease=1.0):
            pass
        process.kill()


def test_a_process_that_lost_the_folder_is_told(tmp_path):
    with sole_writer(tmp_path, lease=0.6) as still_ours:
        still_ours()
        (tmp_path / "other").write_text("filelock/2\npid=1\nhost=elsewhere\nmode=exclusive\n")
        (tmp_path / "other").replace(tmp_path / LOCK)
        time.sleep(1.5)
        with pytest.raises(InputError, match="took the folder over"):
            still_ours()
