"""SGD, the schedule and its exceptions, against the formulas by hand."""

import jax.numpy as jnp
import numpy as np

from hparse_jax.config import OptimizerConfig
from hparse_jax.training.optimizer import learning_rate, make_optimizer


def test_poly_schedule_with_linear_warm_up():
    config = OptimizerConfig(base_lr=0.007, power=0.9, warmup_steps=4)
    rate = learning_rate(config, 10)
    for step in range(11):
        expected = 0.007 * (1 - step / 10) ** 0.9 * min(1, (step + 1) / 4)
        np.testing.assert_allclose(rate(step), expected, rtol=1e-6)


def test_updates_are_those_of_sgd_with_decay_on_kernels_and_faster_new_layers():
    config = OptimizerConfig(
        base_lr=0.1, momentum=0.9, weight_decay=0.01, power=1.0, new_layers_multiplier=10.0
    )
    optimizer = make_optimizer(config, 4)
    params = {
        "resnet": {"conv": {"kernel": jnp.asarray([2.0]), "norm": {"scale": jnp.asarray([3.0])}}},
        "parts_direct": {"hidden_kernel": jnp.asarray([5.0]), "logit_bias": jnp.asarray([7.0])},
    }
    decays = {2.0: True, 3.0: False, 5.0: True, 7.0: False}
    new = {2.0: False, 3.0: False, 5.0: True, 7.0: True}
    state = optimizer.init(params)
    expected, velocity = {v: v for v in decays}, dict.fromkeys(decays, 0.0)

    def leaves(params):
        conv, head = params["resnet"]["conv"], params["parts_direct"]
        arrays = conv["kernel"], conv["norm"]["scale"], head["hidden_kernel"], head["logit_bias"]
        return [float(a[0]) for a in arrays]

    for step in range(3):
        gradients = {
            "resnet": {"conv": {"kernel": jnp.asarray([1.0]), "norm": {"scale": jnp.ones(1)}}},
            "parts_direct": {"hidden_kernel": jnp.ones(1), "logit_bias": jnp.ones(1)},
        }
        updates, state = optimizer.update(gradients, state, params)
        for key in expected:
            gradient = 1.0 + 0.01 * expected[key] * decays[key]
            velocity[key] = 0.9 * velocity[key] + gradient
            rate = 0.1 * (1 - step / 4) * (10 if new[key] else 1)
            expected[key] -= rate * velocity[key]
        params = {room: _added(params[room], updates[room]) for room in ("resnet", "parts_direct")}
        np.testing.assert_allclose(leaves(params), list(expected.values()), rtol=1e-6)


def _added(a, b):
    return {k: _added(a[k], b[k]) for k in a} if isinstance(a, dict) else a + b
