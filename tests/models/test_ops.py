"""Array functions against NumPy loops, and which form of them is lowered for which platform."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hparse_jax.models.ops import (
    column_sums,
    convolution,
    grouped_convolution,
    hat_matrix,
    interpolate,
    max_pool,
    max_pool_2x2,
    max_pool_with_indices,
    max_unpool,
    pixel_mean,
    resize,
    shifted_convolution,
)


def normal(*shape):
    return jnp.asarray(np.random.default_rng(len(shape)).normal(size=shape), jnp.float32)


def convolution_by_hand(x, kernel, stride=1, dilation=1, groups=1):
    """Output (i, j) sums over the taps around input (stride i, stride j)."""
    x, kernel = np.asarray(x, np.float64), np.asarray(kernel, np.float64)
    side, _, inputs, outputs = kernel.shape
    batch, height, width, _ = x.shape
    size = (-(-height // stride), -(-width // stride))
    result = np.zeros((batch, *size, outputs))
    for i, j, u, v in np.ndindex(*size, side, side):
        row = stride * i + dilation * (u - side // 2)
        column = stride * j + dilation * (v - side // 2)
        if 0 <= row < height and 0 <= column < width:
            for g in range(groups):
                own = slice(g * outputs // groups, (g + 1) * outputs // groups)
                seen = x[:, row, column, g * inputs : (g + 1) * inputs]
                result[:, i, j, own] += seen @ kernel[u, v, :, own]
    return result


@pytest.mark.parametrize(
    ("side", "options"),
    [
        (1, {}),
        (1, {"stride": 2}),
        (3, {"stride": 2}),
        (7, {"stride": 2}),
        (3, {"dilation": 2}),
        (3, {"dilation": 6}),
        (3, {"dilation": 12}),
        (3, {"groups": 2}),
    ],
)
def test_a_convolution_is_centred_on_its_pixel(side, options):
    x, kernel = normal(2, 8, 11, 4), normal(side, side, 4 // options.get("groups", 1), 6)
    expected = convolution_by_hand(x, kernel, **options)
    np.testing.assert_allclose(convolution(x, kernel, **options), expected, atol=1e-4)


@pytest.mark.parametrize("dilation", [1, 6, 12])
def test_shifted_products_are_the_dilated_convolution(dilation):
    x, kernel = normal(2, 11, 9, 4), normal(3, 3, 4, 5)
    expected = convolution_by_hand(x, kernel, dilation=dilation)
    actual = shifted_convolution(x, kernel, dilation=dilation)
    np.testing.assert_allclose(actual, expected, atol=1e-4)


@pytest.mark.parametrize("side", [1, 3])
def test_the_gradient_of_a_grouped_convolution_is_xlas(side):
    x, kernel, weights = normal(2, 5, 6, 3 * 4), normal(side, side, 4, 3 * 2), normal(2, 5, 6, 6)
    gradients, expected = (
        jax.grad(lambda x, kernel, f=f: (f(x, kernel) * weights).sum(), (0, 1))(x, kernel)
        for f in (
            lambda x, kernel: grouped_convolution(x, kernel, 3),
            lambda x, kernel: convolution(x, kernel, groups=3),
        )
    )
    for actual, wanted in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(actual, wanted, atol=1e-4)


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


def test_equal_values_of_a_window_share_its_gradient():
    gradient = jax.grad(lambda x: max_pool(x).sum())(jnp.zeros((1, 1, 2, 1)))
    assert gradient.ravel().tolist() == [0.5, 0.5]


@pytest.mark.parametrize("size", [(6, 8), (5, 7), (1, 3)])
def test_unpooled_values_lie_where_the_maxima_were(size):
    x = normal(2, *size, 3)
    pooled, indices = max_pool_with_indices(x)
    np.testing.assert_array_equal(max_pool_2x2(x), pooled)
    values = normal(*pooled.shape)
    unpooled = max_unpool(values, indices, size)
    expected, x = np.zeros(x.shape), np.asarray(x)
    for b, i, j, c in np.ndindex(pooled.shape):
        window = x[b, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2, c]
        y, z = np.unravel_index(window.argmax(), window.shape)
        assert pooled[b, i, j, c] == window.max()
        expected[b, 2 * i + y, 2 * j + z, c] = values[b, i, j, c]
    np.testing.assert_array_equal(unpooled, expected)


def test_equal_values_of_a_window_are_unpooled_to_the_first():
    _, indices = max_pool_with_indices(jnp.zeros((1, 2, 2, 1)))
    unpooled = max_unpool(jnp.ones((1, 1, 1, 1)), indices, (2, 2))
    assert unpooled.ravel().tolist() == [1, 0, 0, 0]


def test_pixel_mean_and_its_gradient():
    x, weights = normal(2, 4, 5, 3), normal(2, 3)
    np.testing.assert_allclose(pixel_mean(x), x.mean((1, 2)), atol=1e-6)
    gradient = jax.grad(lambda x: (pixel_mean(x) * weights).sum())(x)
    expected = np.broadcast_to(weights[:, None, None, :] / 20, x.shape)
    np.testing.assert_allclose(gradient, expected, rtol=1e-6)


def test_the_pixel_mean_of_a_photo_in_a_larger_image():
    """Grid points at every 4th pixel: of 17 x 13 pixels 5 x 4, of the photo's 9 x 12 3 x 3."""
    x, inside = normal(2, 5, 4, 3), np.zeros((2, 17, 13), bool)
    inside[0, :9, :12] = True
    mean = pixel_mean(jnp.asarray(x), jnp.asarray(inside))
    np.testing.assert_allclose(mean, [x[0, :3, :3].mean((0, 1)), np.zeros(3)], atol=1e-6)


def test_column_sums_leave_the_channels():
    x = normal(2, 4, 5, 3)
    np.testing.assert_allclose(column_sums(x), x.sum((0, 1, 2)), rtol=1e-5)


@pytest.mark.parametrize("function", [pixel_mean, column_sums])
def test_the_target_platform_decides_how_a_sum_is_computed(function):
    """Not the platform of the host that lowers."""
    x = jax.ShapeDtypeStruct((2, 4, 5, 3), jnp.float32)
    for platform, product in (("cpu", True), ("tpu", False), ("cuda", False)):
        text = jax.jit(function).trace(x).lower(lowering_platforms=(platform,)).as_text()
        assert ("stablehlo.dot_general" in text) == product
        assert ("stablehlo.reduce" in text) != product


@pytest.mark.parametrize("array", [np.asarray, jnp.asarray])
def test_a_row_of_the_hat_matrix_holds_the_weights_of_one_position(array):
    positions = np.array([[0.0, 0.25, 2.0], [2.75, -0.5, -2.0]])
    expected = np.zeros((2, 3, 4))
    for index, position in np.ndenumerate(positions):
        for point in range(4):
            expected[*index, point] = max(0.0, 1.0 - abs(position - point))
    weights = hat_matrix(array(positions), 4)
    # NumPy weights of NumPy positions are rounded once, by whoever uses them
    assert isinstance(weights, type(array(positions)))
    assert weights.dtype == array(positions).dtype
    np.testing.assert_array_equal(weights, expected)


def test_interpolation_reads_between_the_four_neighbours():
    x = normal(1, 3, 4, 2)
    values = interpolate(x, np.array([0.0, 1.25]), np.array([0.5, 3.0, 2.75]))
    above, below = x[:, 1], x[:, 2]
    expected = 0.75 * (0.25 * above[:, 2] + 0.75 * above[:, 3])
    expected += 0.25 * (0.25 * below[:, 2] + 0.75 * below[:, 3])
    np.testing.assert_allclose(values[:, 1, 2], expected, atol=1e-6)
    np.testing.assert_allclose(values[:, 0, 0], (x[:, 0, 0] + x[:, 0, 1]) / 2, atol=1e-6)
    np.testing.assert_array_equal(values[:, 0, 1], x[:, 0, 3])


def test_resize_keeps_corners_and_interpolates_between_them():
    x = jnp.array([[[[0.0], [4.0]], [[8.0], [12.0]]]])
    expected = [[0, 1, 2, 3, 4], [4, 5, 6, 7, 8], [8, 9, 10, 11, 12]]
    np.testing.assert_allclose(resize(x, (3, 5))[0, :, :, 0], expected, atol=1e-6)
