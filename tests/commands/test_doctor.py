"""The verb `doctor`."""

import shutil

import pytest
from command_line import hparse

from hparse_jax import doctor, known_network

ROWS = ["versions", "devices", "compiler", "precision", "free in workdir", "free in data"]


@pytest.fixture(autouse=True)
def _fast(monkeypatch):
    monkeypatch.setattr(doctor, "stream_speed", lambda config: 123.4)
    monkeypatch.setattr(known_network, "precision", lambda dtype: 1e-7)


@pytest.fixture
def folders(tmp_path, monkeypatch):
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return f"--workdir={tmp_path}", f"--data_dir={tmp_path / 'data'}"


def test_a_healthy_machine_is_described_and_well(folders):
    done = hparse("doctor", *folders)
    assert (done.returncode, done.stderr) == (0, "")
    for row in (*ROWS, "free in cache", "stream"):
        assert f"\n{row} " in f"\n{done.stdout}"
    assert "123 drawn people a second" in done.stdout
    assert done.stdout.endswith("all is well\n")


def test_everything_that_is_wrong_is_in_one_line(folders, monkeypatch):
    monkeypatch.setattr(known_network, "precision", lambda dtype: 0.5)
    usage = shutil.disk_usage("/")._replace(free=7_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    done = hparse("doctor", *folders)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "a known network in float32 is off by 0.5 of its largest logit" in done.stderr
    assert done.stderr.count("7 MB are free") == 3
    assert done.stdout.count("WRONG") == 4
    assert "all is well" not in done.stdout
