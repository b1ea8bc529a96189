"""What is said of the machine, and the peak of memory."""

import os
import pathlib
import subprocess
import sys

import jax
import pytest

from hparse_jax.benchmark.hardware import hardware


def test_the_machine_is_named():
    machine = hardware()
    assert machine["accelerator"] is None  # the tests run on a CPU
    assert machine["jax"] == jax.__version__
    assert machine["cpu"]
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if cpuinfo.exists() and "model name" in cpuinfo.read_text():
        assert machine["cpu"].split()[0] in cpuinfo.read_text()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux's")
def test_cores_are_those_that_the_process_may_use():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert hardware()["cores"] == 1
    finally:
        os.sched_setaffinity(0, before)


def test_the_peak_holds_memory_that_is_free_again():
    script = """
import numpy as np
from hparse_jax.benchmark.hardware import peak_memory

before = peak_memory()  # the first call starts jax's backend
ones = np.ones(2**30, np.uint8)  # written
del ones
after = peak_memory()
print(before["process_mib"], after["process_mib"], after["device_mib"])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    before, after, device = done.stdout.split()
    # a part of what was taken before may have been given back meanwhile
    assert 900 < float(after) - float(before) < 1100
    assert device == b"None"
