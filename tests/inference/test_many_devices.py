"""The same scores on several devices and in several processes, each in its own interpreter."""

import json
import os
import pathlib
import socket
import subprocess
import sys

import pytest

# arguments: number of processes, own index, port, file of the report
SCRIPT = """
import json, sys
import jax
import numpy as np
processes, index, port = map(int, sys.argv[1:4])
if processes > 1:
    jax.distributed.initialize(f"127.0.0.1:{port}", processes, index)
from conftest import HIERARCHY, Pixels
from hparse_jax.config import Config
from hparse_jax.inference.evaluate import evaluate
from hparse_jax.inference.predictor import Predictor

rng = np.random.default_rng(0)
photos = []
for i in range(7):
    h, w = rng.integers(40, 97, 2).tolist()
    image = rng.integers(0, 256, (h, w, 3), dtype=np.uint8)
    photos.append((str(i), image, rng.integers(0, 3, (h, w), dtype=np.uint8)))

config = Config(mean=(100.0,) * 3, std=(50.0,) * 3)
variables = {"params": {"gain": np.float32(1)}}
predictor = Predictor(Pixels(), variables, config, HIERARCHY, scales=(0.75, 1.0), flip=True)
report = evaluate(predictor, photos[jax.process_index() :: jax.process_count()], batch_size=3)
with open(sys.argv[4], "w") as file:
    json.dump([jax.local_device_count(), report], file)
"""


def run(folder, processes, devices):
    here = pathlib.Path(__file__).parent
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        "PYTHONPATH": str(here),
    }
    files = [folder / f"{processes}_{devices}_{index}.json" for index in range(processes)]
    started = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(processes), str(index), str(port), str(file)],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index, file in enumerate(files)
    ]
    errors = [process.communicate(timeout=120)[1] for process in started]
    for process, text in zip(started, errors, strict=True):
        assert process.returncode == 0, text[-3000:]
    return [json.loads(file.read_text()) for file in files]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    ((devices, report),) = run(tmp_path_factory.mktemp("alone"), 1, 1)
    assert devices == 1
    return report


def test_four_devices_give_the_scores_of_one(tmp_path, alone):
    ((devices, report),) = run(tmp_path, 1, 4)
    assert devices == 4
    assert report == alone


def test_two_processes_give_the_scores_of_one(tmp_path, alone):
    for devices, report in run(tmp_path, 2, 2):
        assert devices == 2
        assert report == alone
    assert alone["images"] == 7
