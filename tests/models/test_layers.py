"""Batch norm is flax's: values, running statistics, gradients. Channels are scaled by one rule."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from hparse_jax.models.layers import BatchNorm, scale_channels


@pytest.mark.parametrize(
    ("channels", "width", "expected"),
    [
        (64, 1.0, 64),
        (64, 0.25, 16),
        (256, 0.07, 18),
        (64, 0.125, 8),
        (64, 0.01, 8),
        (1024, 2.0, 2048),
    ],
)
def test_channels_times_the_width_are_rounded_and_at_least_8(channels, width, expected):
    assert scale_channels(channels, width) == expected


@pytest.fixture
def case():
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(3, 2, (2, 5, 4, 6)), jnp.float32)
    arrays = {name: jnp.asarray(rng.uniform(0.5, 2, 6), jnp.float32) for name in "abcd"}
    variables = {
        "params": {"scale": arrays["a"], "bias": arrays["b"]},
        "batch_stats": {"mean": arrays["c"], "var": arrays["d"]},
    }
    return variables, x


def test_running_statistics_are_used_when_not_training(case):
    variables, x = case
    expected = nn.BatchNorm(use_running_average=True, epsilon=1e-5).apply(variables, x)
    np.testing.assert_allclose(BatchNorm().apply(variables, x, False), expected, rtol=1e-5)


def test_values_statistics_and_gradients_of_training(case):
    variables, x = case
    weights = jnp.cos(jnp.arange(x.size, dtype=jnp.float32)).reshape(x.shape)
    theirs = nn.BatchNorm(use_running_average=False, momentum=0.9, epsilon=1e-5)
    results = []
    for apply in (
        lambda v, x: BatchNorm().apply(v, x, True, mutable=["batch_stats"]),
        lambda v, x: theirs.apply(v, x, mutable=["batch_stats"]),
    ):

        def loss(params, x, apply=apply):
            y, updated = apply({**variables, "params": params}, x)
            return (y**2 * weights).sum(), (y, updated)

        gradients, values = jax.grad(loss, (0, 1), has_aux=True)(variables["params"], x)
        results.append((gradients, values))
    ours, expected = (jax.tree.leaves(result) for result in results)
    for a, b in zip(ours, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_initialising_leaves_the_running_statistics_alone(case):
    _, x = case
    stats = BatchNorm().init(jax.random.key(0), x, True)["batch_stats"]
    np.testing.assert_array_equal(stats["mean"], np.zeros(6))
    np.testing.assert_array_equal(stats["var"], np.ones(6))
