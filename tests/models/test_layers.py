"""The layers whose forms were chosen for speed, against plain ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hparse_jax.models.layers import convolution, max_pool, resize, shifted_convolution
from hparse_jax.models.nodes import gated_convolution, node_convolution


def normal(*shape):
    return jnp.asarray(np.random.default_rng(len(shape)).normal(size=shape), jnp.float32)


@pytest.mark.parametrize("size", [(7, 9), (8, 6), (1, 2)])
def test_max_pool_takes_the_largest_of_every_window(size):
    x = normal(2, *size, 3)
    expected = np.full((2, (size[0] + 1) // 2, (size[1] + 1) // 2, 3), -np.inf, np.float32)
    for i, j in np.ndindex(expected.shape[1:3]):
        window = np.asarray(x)[:, max(0, 2 * i - 1) : 2 * i + 2, max(0, 2 * j - 1) : 2 * j + 2]
        expected[:, i, j] = window.max((1, 2))
    np.testing.assert_array_equal(max_pool(x), expected)
    # each output sends its gradient to one input: the sum stays
    sent = jax.grad(lambda x: (max_pool(x) * expected).sum())(x)
    np.testing.assert_allclose(sent.sum(), expected.sum(), rtol=1e-4)


@pytest.mark.parametrize("dilation", [1, 6, 12])
def test_shifted_products_are_the_dilated_convolution(dilation):
    x, kernel = normal(2, 11, 9, 4), normal(3, 3, 4, 5)
    expected = convolution(x, kernel, dilation=dilation)
    np.testing.assert_allclose(shifted_convolution(x, kernel, dilation), expected, atol=1e-4)


def test_resize_keeps_corners_and_interpolates_between_them():
    x = jnp.array([[[[0.0], [4.0]], [[8.0], [12.0]]]])
    expected = [[0, 1, 2, 3, 4], [4, 5, 6, 7, 8], [8, 9, 10, 11, 12]]
    np.testing.assert_allclose(resize(x, (3, 5))[0, :, :, 0], expected, atol=1e-6)


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
