import json
import os
import pathlib
import subprocess
import sys

import pytest

CONFIG = pathlib.Path(__file__).parents[2] / "configs" / "fashion_clothing.py"
# without the coarser levels there is half as much to compile
TINY = {
    "model.depth": 18,
    "model.width": 0.125,
    "model.hierarchy": False,
    "crop": "33,33",
    "batch_size": 4,
    "eval_batch_size": 2,
    "log_every": 1,
    "eval_every": 0,
    "checkpoint_every": 0,
    "optimizer.base_lr": 0.001,
}


@pytest.fixture
def start(built):
    """Starts `hparse train` on a tiny network in a process of its own: start(workdir, ...)."""

    def start(workdir, *arguments, devices=1, **fields):
        fields = {name.replace("__", "."): value for name, value in fields.items()}
        fields = {**TINY, "data_dir": built, **fields}
        overrides = [f"--config.{name}={value}" for name, value in fields.items()]
        command = [sys.executable, "-m", "hparse_jax", "train", f"--config={CONFIG}"]
        environment = dict(os.environ)
        # without optimisations there is less to wait for
        environment["XLA_FLAGS"] = (
            f"--xla_force_host_platform_device_count={devices} --xla_backend_optimization_level=0"
        )
        return subprocess.Popen(
            [*command, f"--workdir={workdir}", *overrides, *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return start


@pytest.fixture
def finish():
    """Waits for such a process; returns its output, and asserts its exit code."""

    def finish(process, code=0):
        output = process.communicate(timeout=300)[0]
        assert process.returncode == code, output
        return output

    return finish


@pytest.fixture
def metrics():
    """The lines of a workdir's metrics.jsonl."""

    def metrics(workdir):
        return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]

    return metrics
