"""SGD, the schedule and its exceptions, against the formulas by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hparse_jax.config import OptimizerConfig
from hparse_jax.training.optimizer import learning_rate, make_optimizer, scaled_to_batch


def test_poly_schedule_with_linear_warm_up():
    config = OptimizerConfig(base_lr=0.007, power=0.9, warmup_steps=4)
    rate = learning_rate(config, 10)
    for step in range(11):
        expected = 0.007 * (1 - step / 10) ** 0.9 * min(1, (step + 1) / 4)
        np.testing.assert_allclose(rate(step), expected, rtol=1e-6)


@pytest.mark.parametrize("steps", [7, 50, 1200])
def test_the_compiled_rate_is_zero_after_the_last_step(steps):
    rate = jax.jit(learning_rate(OptimizerConfig(), steps))
    assert [float(rate(steps + late)) for late in range(3)] == [0, 0, 0]


def test_power_0_is_a_constant_rate():
    rate = jax.jit(learning_rate(OptimizerConfig(base_lr=0.1, power=0.0), 7))
    assert [float(rate(step)) for step in range(9)] == [np.float32(0.1)] * 9


@pytest.mark.parametrize(("reference", "rate"), [(0, 0.01), (20, 0.01), (5, 0.04), (40, 0.005)])
def test_the_rate_is_in_proportion_to_the_batch_when_asked(reference, rate):
    config = OptimizerConfig(base_lr=0.01, reference_batch_size=reference)
    assert scaled_to_batch(config, 20).base_lr == pytest.approx(rate, rel=1e-12)


@pytest.mark.parametrize(("limit", "factor"), [(10.0, 1.0), (2.5, 0.5), (0.0, 1.0)])
def test_a_gradient_above_the_limit_is_scaled_down_before_weight_decay(limit, factor):
    """The norm of (3, 4) is 5."""
    config = OptimizerConfig(base_lr=1.0, momentum=0.0, weight_decay=0.1, clip_norm=limit)
    optimizer = make_optimizer(config, 10)
    params = {"head": {"kernel": jnp.array([2.0]), "bias": jnp.array([7.0])}}
    gradients = {"head": {"kernel": jnp.array([3.0]), "bias": jnp.array([4.0])}}
    updates, _ = optimizer.update(gradients, optimizer.init(params), params)
    np.testing.assert_allclose(updates["head"]["kernel"], [-(3 * factor + 0.2)], rtol=1e-6)
    np.testing.assert_allclose(updates["head"]["bias"], [-4 * factor], rtol=1e-6)


def test_decay_on_everything_takes_batch_norm_and_biases_too():
    config = OptimizerConfig(base_lr=1.0, momentum=0.0, weight_decay=0.1, decay_all=True)
    optimizer = make_optimizer(config, 10)
    params = {"norm": {"scale": jnp.array([2.0]), "bias": jnp.array([3.0])}}
    still = jax.tree.map(jnp.zeros_like, params)
    updates, _ = optimizer.update(still, optimizer.init(params), params)
    np.testing.assert_allclose(updates["norm"]["scale"], [-0.2], rtol=1e-6)
    np.testing.assert_allclose(updates["norm"]["bias"], [-0.3], rtol=1e-6)


# leaf -> (its first value, whether it decays, whether it is a new layer)
LEAVES = {
    ("resnet", "conv", "kernel"): (2.0, True, False),
    ("resnet", "conv", "norm", "scale"): (3.0, False, False),
    ("vgg", "conv1_1", "bias"): (4.0, False, False),
    ("parts_direct", "hidden_kernel"): (5.0, True, True),
    ("parts_direct", "logit_bias"): (7.0, False, True),
}


def test_updates_are_those_of_sgd_with_decay_on_kernels_and_faster_new_layers():
    config = OptimizerConfig(
        base_lr=0.1, momentum=0.9, weight_decay=0.01, power=1.0, new_layers_multiplier=10.0
    )
    optimizer = make_optimizer(config, 4)
    params = {}
    for path, (value, *_) in LEAVES.items():
        parent = params
        for key in path[:-1]:
            parent = parent.setdefault(key, {})
        parent[path[-1]] = jnp.asarray([value])
    state = optimizer.init(params)
    expected = {path: value for path, (value, *_) in LEAVES.items()}
    velocity = dict.fromkeys(LEAVES, 0.0)
    for step in range(3):
        gradients = jax.tree.map(lambda x: x * 0.5, params)
        updates, state = optimizer.update(gradients, state, params)
        params = optax.apply_updates(params, updates)
        for path, (_, decays, new) in LEAVES.items():
            gradient = (0.5 + 0.01 * decays) * expected[path]
            velocity[path] = 0.9 * velocity[path] + gradient
            expected[path] -= 0.1 * (1 - step / 4) * (10 if new else 1) * velocity[path]

        def check(path, x, expected=expected):
            np.testing.assert_allclose(x, [expected[tuple(key.key for key in path)]], rtol=1e-5)

        jax.tree_util.tree_map_with_path(check, params)


def test_named_layers_and_biases_learn_at_their_own_rates():
    """As in the released networks: fc8 at 10, biases at twice their layer's rate."""
    config = OptimizerConfig(
        base_lr=0.1, weight_decay=0.0, new_layers_multiplier=10.0, bias_multiplier=2.0
    )
    optimizer = make_optimizer(config, 4, ("fc8",))
    layer = {"kernel": jnp.ones(1), "bias": jnp.ones(1)}
    params = {"vgg": {"conv1_1": layer}, "rate6": {"fc6": layer, "fc8": layer}}
    updates, _ = optimizer.update(params, optimizer.init(params), params)
    rates = jax.tree.map(lambda x: -float(x[0]) / 0.1, updates)
    slow, fast = {"kernel": 1, "bias": 2}, {"kernel": 10, "bias": 20}
    expected = {"vgg": {"conv1_1": slow}, "rate6": {"fc6": slow, "fc8": fast}}
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-6), rates, expected)
