"""The same training on any number of devices and processes."""

import socket
import subprocess
import sys

import numpy as np

SHARDED_NORM = """
import jax, numpy as np
import hparse_jax
from hparse_jax.models.norm import BatchNorm
from hparse_jax.sharding import batch_sharding, data_mesh, replicated
assert jax.device_count() == 4
mesh = data_mesh()
norm = BatchNorm()
# Four shards that differ strongly: means 0, 10, 20, 30, spreads 1 to 4.
shard = np.arange(8) // 2
x = np.random.default_rng(0).normal(size=(8, 5, 5, 3)).astype(np.float32)
x = x * (1 + shard)[:, None, None, None] + 10 * shard[:, None, None, None].astype(np.float32)
variables = norm.init(jax.random.key(0), x, True)
step = jax.jit(
    lambda v, x: norm.apply(v, x, True, mutable=["batch_stats"]),
    in_shardings=(replicated(mesh), batch_sharding(mesh)),
)
y, updated = step(variables, x)
assert len(y.addressable_shards) == 4 and y.addressable_shards[0].data.shape[0] == 2
mean, var = x.astype(np.float64).mean((0, 1, 2)), x.astype(np.float64).var((0, 1, 2))
np.testing.assert_allclose(y, (x - mean) / np.sqrt(var + 1e-5), atol=1e-4)
np.testing.assert_allclose(updated["batch_stats"]["mean"], 0.1 * mean, rtol=1e-5)
np.testing.assert_allclose(updated["batch_stats"]["var"], 0.9 + 0.1 * var, rtol=1e-5)
"""


def test_batch_norm_takes_the_statistics_of_the_global_batch():
    program = "import os\nos.environ['XLA_FLAGS'] = '--xla_force_host_platform_device_count=4'\n"
    done = subprocess.run(
        [sys.executable, "-c", program + SHARDED_NORM], capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr


def test_one_and_four_devices_and_two_processes_have_the_same_losses(
    tmp_path, start, finish, metrics
):
    one, four, two = tmp_path / "one", tmp_path / "four", tmp_path / "two"
    # A small rate: later steps then show the gradients' sums, not how rounding grows.
    fields = {"steps": 3, "optimizer__base_lr": 1e-5}
    finish(start(one, **fields))
    finish(start(four, **fields, devices=4))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    job = (f"--coordinator=127.0.0.1:{port}", "--num_processes=2")
    pair = [start(two, *job, f"--process_id={i}", **fields, eval_every=3) for i in range(2)]
    for process in pair:
        finish(process)
    expected = metrics(one)
    assert len(expected) == 3
    for other in (four, two):
        actual = [line for line in metrics(other) if "train/loss" in line]
        for name in ("train/loss", "train/loss/parts/fused", "train/loss/body/bottom_up"):
            np.testing.assert_allclose(
                [line[name] for line in actual], [line[name] for line in expected], rtol=2e-4
            )
        # The gradient's sum over devices; later ones follow weights that differ by rounding.
        norms = [lines[0]["train/gradient_norm"] for lines in (actual, expected)]
        np.testing.assert_allclose(*norms, rtol=1e-4)
    assert 0 <= metrics(two)[-1]["val/parts/mean_iou"] <= 1
