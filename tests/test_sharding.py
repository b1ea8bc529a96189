"""Sums over devices and processes. What needs several devices runs in a process of its own."""

import os
import subprocess
import sys

import numpy as np

from hparse_jax import sharding

SHARDED_NORM = """
import jax, numpy as np
from hparse_jax.models.layers import BatchNorm
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


TRAINING = """
import jax, numpy as np
from flax import linen as nn
from hparse_jax.config import Config, OptimizerConfig
from hparse_jax.hierarchy import Hierarchy, Level
from hparse_jax.models import LevelOutput, ParserOutput
from hparse_jax.models.layers import BatchNorm
from hparse_jax.models.output import direct_level
from hparse_jax.sharding import data_mesh, global_batch, replicated
from hparse_jax.training.step import create_state, make_train_step
levels = (Level("parts", ("background", "arm", "leg"), (0, 1, 1)),
          Level("body", ("background", "person"), ()))
hierarchy = Hierarchy("two", levels, palette=((0, 0, 0), (1, 1, 1), (2, 2, 2)))

class Small(nn.Module):
    "Batch norm before and after a convolution; the second level has two sources."
    hierarchy = hierarchy
    @nn.compact
    def __call__(self, images, train=False, inside=None):
        x = nn.Conv(8, (3, 3), 2)(BatchNorm(name="norm1")(images, train))
        x = nn.relu(BatchNorm(name="norm2")(x, train))
        parts, body, bottom_up = nn.Dense(3)(x), nn.Dense(2)(x), nn.Dense(2)(x)
        both = LevelOutput(body, None, bottom_up, body + bottom_up, {})
        return ParserOutput((direct_level(parts), both), None)

# A small rate: later steps then show the gradients' sums, not how rounding grows.
config = Config(batch_size=4, optimizer=OptimizerConfig(base_lr=1e-5))
model = Small()
rng = np.random.default_rng(0)
# images that differ strongly: batch norm over one device's would show
shade = np.array([0, 60, 120, 180], np.uint8)[:, None, None, None]
images = rng.integers(0, 70, (4, 33, 33, 3), dtype=np.uint8) + shade
labels = rng.integers(0, 3, (4, 33, 33), dtype=np.uint8)
labels[0, 5:] = 255
start = jax.device_get(create_state(model, config, data_mesh(jax.devices()[:1]), 10))
runs = []
for devices in (1, 4):
    mesh = data_mesh(jax.devices()[:devices])
    state = jax.device_put(start, replicated(mesh))
    step = make_train_step(model, config, mesh, 10)
    steps = []
    for _ in range(3):
        state, metrics = step(state, global_batch(mesh, images), global_batch(mesh, labels))
        steps.append({name: float(value) for name, value in metrics.items()})
    runs.append(steps)
terms = {"parts/direct", "body/direct", "body/bottom_up", "body/fused"}
assert terms <= {name[5:] for name in runs[0][0] if name.startswith("loss/")}
for one, four in zip(*runs, strict=True):
    for name in one:
        if name.startswith("loss"):
            np.testing.assert_allclose(four[name], one[name], rtol=2e-4, err_msg=name)
# later gradients follow weights that differ by rounding
np.testing.assert_allclose(runs[1][0]["gradient_norm"], runs[0][0]["gradient_norm"], rtol=1e-4)
"""


def on_four_devices(program):
    """Runs a program in a process that sees four devices; asserts that it succeeds."""
    # without optimisations the training step compiles in half the time
    options = "--xla_force_host_platform_device_count=4 --xla_backend_optimization_level=0"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"XLA_FLAGS": options},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr


def test_batch_norm_takes_the_statistics_of_the_global_batch():
    on_four_devices(SHARDED_NORM)


def test_four_devices_train_as_one():
    on_four_devices(TRAINING)


def test_sums_over_processes_are_exact_beyond_32_bits(monkeypatch):
    mine = [np.int64(3), np.array([[2**40 + 1, 7], [2**31, 0]])]
    gather = sharding.multihost_utils
    monkeypatch.setattr(sharding.jax, "process_count", lambda: 3)
    monkeypatch.setattr(gather, "process_allgather", lambda x: np.stack([x, x, x]))
    images, matrix = sharding.sum_over_processes(mine)
    assert images == 9
    np.testing.assert_array_equal(matrix, 3 * mine[1])
