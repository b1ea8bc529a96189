"""Convolutions of all nodes of a level at once, and messages, against one node after the other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hparse_jax.models.nodes import (
    child_message,
    gated_convolution,
    node_convolution,
    parent_message,
)
from hparse_jax.models.ops import convolution


def normal(*shape):
    return jnp.asarray(np.random.default_rng(len(shape)).normal(size=shape), jnp.float32)


@pytest.mark.parametrize("side", [1, 3])
@pytest.mark.parametrize("batch", [1, 2])
def test_gates_in_the_weights_are_gates_on_the_map(side, batch):
    x, gate, kernel = normal(batch, 5, 6, 4), normal(batch, 3, 4), normal(side, side, 4, 3, 2)

    def plain(x, gate, kernel):
        maps = [convolution(x * gate[:, None, None, v], kernel[:, :, :, v]) for v in range(3)]
        return jnp.concatenate(maps, -1)

    assert_same_values_and_gradients(gated_convolution, plain, x, gate, kernel)


@pytest.mark.parametrize("side", [1, 3])
def test_every_node_is_convolved_with_its_own_kernel(side):
    x, kernel = normal(2, 5, 6, 3 * 4), normal(side, side, 4, 3, 2)

    def plain(x, kernel):
        maps = [convolution(x[..., 4 * v : 4 * v + 4], kernel[:, :, :, v]) for v in range(3)]
        return jnp.concatenate(maps, -1)

    assert_same_values_and_gradients(node_convolution, plain, x, kernel)


def assert_same_values_and_gradients(function, plain, *arguments):
    np.testing.assert_allclose(function(*arguments), plain(*arguments), atol=1e-4)
    weights = normal(*function(*arguments).shape)
    everything = tuple(range(len(arguments)))
    gradients, expected = (
        jax.grad(lambda *a, f=f: (f(*a) * weights).sum(), everything)(*arguments)
        for f in (function, plain)
    )
    for actual, wanted in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(actual, wanted, atol=1e-3)


PARENTS = (0, 1, 1, 2, 1)  # background, then four nodes of two parents


def test_a_node_receives_its_parents_map():
    maps = np.asarray(normal(1, 2, 3, 3))
    received = parent_message(jnp.asarray(maps), PARENTS)
    np.testing.assert_array_equal(received, maps[..., [1, 1, 2, 1]])


def test_a_parent_receives_the_maximum_of_its_childrens_maps():
    maps = np.asarray(normal(1, 2, 3, 5))
    received = child_message(jnp.asarray(maps), PARENTS, 3)
    expected = np.stack([maps[..., [1, 2, 4]].max(-1), maps[..., 3]], -1)
    np.testing.assert_array_equal(received, expected)
