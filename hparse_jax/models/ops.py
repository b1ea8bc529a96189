"""Array functions of the networks, and the one place that knows backends.

Two reductions have a second form for CPUs, where XLA compiles the direct one badly; lowering
decides which form a program contains, so a CPU host can lower for a TPU. Everything else has one
form for all backends. Times quoted below: two cores, jax 0.10.2, float32; GPUs and TPUs have not
been measured.

Resampling is ours because `jax.image.scale_and_translate` computes sample positions in float32,
which moves results by up to 2e-4 on maps of 473 pixels, and fails on maps of one pixel.
"""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8

_SHIFTED_FROM = 6  # dilation from which on a 3x3 convolution is nine shifted products


# Convolutions


def convolution(
    x: Float[Array, "b h w c"],
    kernel: Float[Array, "k k i o"],
    *,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
) -> Float[Array, "b h2 w2 o"]:
    """Two-dimensional convolution, padded by half the (dilated) kernel on every side.

    With an odd side 2n + 1, output i of stride 2 is centred on input 2i: grids stay aligned.
    """
    if kernel.shape[0] == 3 and stride == groups == 1 and dilation >= _SHIFTED_FROM:
        return shifted_convolution(x, kernel, dilation=dilation)
    padding = dilation * (kernel.shape[0] // 2)
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(stride, stride),
        padding=((padding, padding), (padding, padding)),
        rhs_dilation=(dilation, dilation),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


def shifted_convolution(
    x: Float[Array, "b h w c"], kernel: Float[Array, "3 3 c o"], *, dilation: int
) -> Float[Array, "b h w o"]:
    """The 3x3 convolution of stride 1 as nine 1x1 products of shifted, cropped maps.

    Skips what falls into the padding, on any backend: on 30 x 30 pixels a quarter of the operations
    at dilation 6, almost half at 12, two thirds at 18. On a CPU 2048 -> 256 channels with their
    gradients took 130, 97 and 68 instead of 210, 125 and 127 ms. (Narrow layers on large maps lose:
    a batch of 8 with 128 -> 64 channels took 46 instead of 14 ms at dilation 6.)
    """
    height, width = x.shape[1:3]
    total = jnp.einsum("bhwc,co->bhwo", x, kernel[1, 1])
    for row, column in itertools.product(range(3), repeat=2):
        dy, dx = (row - 1) * dilation, (column - 1) * dilation
        if (row, column) == (1, 1) or abs(dy) >= height or abs(dx) >= width:
            continue
        seen = x[:, max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)]
        tap = jnp.einsum("bhwc,co->bhwo", seen, kernel[row, column])
        rows, columns = (max(-dy, 0), max(dy, 0)), (max(-dx, 0), max(dx, 0))
        total = total + jnp.pad(tap, ((0, 0), rows, columns, (0, 0)))
    return total


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def grouped_convolution(
    x: Float[Array, "b h w group_inputs"], kernel: Float[Array, "k k i group_outputs"], groups: int
) -> Float[Array, "b h w group_outputs"]:
    """Convolution of stride 1 of each group of channels with its own kernel.

    Its gradient is written out: on a CPU XLA's own gradient of the kernel took 1.16 s instead of
    24 ms for 20 groups of 16 channels.
    """
    return convolution(x, kernel, groups=groups)


def _grouped_forward(x, kernel, groups):
    return grouped_convolution(x, kernel, groups), (x, kernel)


def _grouped_backward(groups, saved, gradient):
    # To x the gradient is a grouped convolution too, to the kernel one product per kernel row.
    x, kernel = saved
    side, features_in = kernel.shape[0], kernel.shape[2]
    features_out = kernel.shape[3] // groups
    batch, height, width = x.shape[:3]
    per_group = kernel.reshape(side, side, features_in, groups, features_out)
    mirrored = per_group[::-1, ::-1].transpose(0, 1, 4, 3, 2)
    to_x = grouped_convolution(gradient, mirrored.reshape(side, side, features_out, -1), groups)

    def by_group(x, features):
        return x.reshape(batch, height, width, groups, features).transpose(3, 0, 1, 2, 4)

    shifted = column_taps(by_group(x, features_in), side)
    gradient = by_group(gradient, features_out)
    product = functools.partial(jnp.einsum, "vbhwk,vbhwo->kvo", preferred_element_type=jnp.float32)
    rows = [product(shifted[:, :, row : row + height], gradient) for row in range(side)]
    to_kernel = jnp.stack(rows).reshape(side, side, features_in, groups * features_out)
    return to_x, to_kernel.astype(kernel.dtype)


grouped_convolution.defvjp(_grouped_forward, _grouped_backward)


def column_taps(x: Float[Array, "*b h w c"], side: int) -> Float[Array, "*b h2 w kc"]:
    """x padded by half a kernel of this side, its `side` column shifts along the channels.

    One row of a kernel is then one product: fewer and longer ones than one for each tap, with a
    third of the copies that all taps of a 3x3 kernel take.
    """
    width, pad = x.shape[-2], side // 2
    x = jnp.pad(x, ((0, 0),) * (x.ndim - 3) + ((pad, pad), (pad, pad), (0, 0)))
    return jnp.concatenate([x[..., j : j + width, :] for j in range(side)], -1)


# Pooling and sums


def max_pool(
    x: Float[Array, "b h w c"], *, stride: int = 2, ceil: bool = False
) -> Float[Array, "b h2 w2 c"]:
    """Maximum over 3x3 windows, padding 1, as maxima of shifted maps.

    ceil: as torch's ceil_mode, an even side of n gives n / 2 + 1 outputs at stride 2, not n / 2.
    Equal values of a window, common after a ReLU, share its gradient, which XLA's window maximum
    gives to one of them. On a CPU the gradient took 2.3 instead of 22.6 ms for 8 x 129 x 97 x 16.
    """

    def pool(x, axis):
        more = ceil and (x.shape[axis] - 1) % stride > 0
        size = -(-x.shape[axis] // stride) + more
        padding = [(1, 1 + more) if i == axis else (0, 0) for i in range(4)]
        x = jnp.pad(x, padding, constant_values=-jnp.inf)
        last = stride * (size - 1) + 1
        shifts = [jax.lax.slice_in_dim(x, i, i + last, stride, axis) for i in range(3)]
        return functools.reduce(jnp.maximum, shifts)

    return pool(pool(x, 1), 2)


def max_pool_2x2(x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 c"]:
    """Maximum over 2x2 windows, stride 2, odd sides rounded up."""
    return _windows_2x2(x).max(3)


def max_pool_with_indices(
    x: Float[Array, "b h w c"],
) -> tuple[Float[Array, "b h2 w2 c"], Int[Array, "b h2 w2 c"]]:
    """`max_pool_2x2`, and the pooling indices: which of the four values of its window, by rows,
    each maximum is; the first one of equals."""
    windows = _windows_2x2(x)
    return windows.max(3), windows.argmax(3)


def max_unpool(
    x: Float[Array, "b h2 w2 c"], indices: Int[Array, "b h2 w2 c"], size: tuple[int, int]
) -> Float[Array, "b h w c"]:
    """Every value at its index within its 2x2 window, zeros elsewhere; cropped to `size`."""
    b, h, w, c = x.shape
    windows = x[:, :, :, None] * jax.nn.one_hot(indices, 4, dtype=x.dtype, axis=3)
    windows = windows.reshape(b, h, w, 2, 2, c).transpose(0, 1, 3, 2, 4, 5)
    return windows.reshape(b, 2 * h, 2 * w, c)[:, : size[0], : size[1]]


def _windows_2x2(x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 4 c"]:
    b, height, width, c = x.shape
    padding = ((0, 0), (0, height % 2), (0, width % 2), (0, 0))
    x = jnp.pad(x, padding, constant_values=-jnp.inf)
    h2, w2 = (height + 1) // 2, (width + 1) // 2
    return x.reshape(b, h2, 2, w2, 2, c).transpose(0, 1, 3, 2, 4, 5).reshape(b, h2, w2, 4, c)


def pixel_mean(
    x: Float[Array, "b h w c"], inside: Bool[Array, "b H W"] | None = None
) -> Float[Array, "b c"]:
    """The mean over pixels.

    inside: the pixels of the photos, where the images hold padding too; the mean is then over the
    points of x that lie on these, and 0 where there are none. The corners of x are the images'.
    """
    if inside is None:
        return _whole_mean(x)
    rows, columns = _pixels_of(inside, x)
    weights = inside[:, rows][:, :, columns].astype(jnp.float32)
    weights = weights / jnp.maximum(weights.sum((1, 2), keepdims=True), 1.0)
    mean = jnp.einsum(
        "bhw,bhwc->bc", weights.astype(x.dtype), x, preferred_element_type=jnp.float32
    )
    return mean.astype(x.dtype)


@jax.custom_vjp
def _whole_mean(x: Float[Array, "b h w c"]) -> Float[Array, "b c"]:
    # On a CPU 0.1 instead of 2.0 ms for 60 x 60 x 512. The gradient is written out because the one
    # of `platform_dependent` would keep what both forms keep.
    pixels = x.shape[1] * x.shape[2]
    return jax.lax.platform_dependent(
        x,
        cpu=lambda x: jnp.ones(pixels, x.dtype) @ x.reshape(len(x), pixels, -1) / pixels,
        default=lambda x: x.mean((1, 2)),
    )


def _whole_mean_backward(x, gradient):
    share = gradient / (x.shape[1] * x.shape[2])
    return (jnp.broadcast_to(share[:, None, None, :], x.shape),)


_whole_mean.defvjp(lambda x: (_whole_mean(x), x), _whole_mean_backward)


def column_sums(x: Float[Array, "*n c"]) -> Float[Array, " c"]:
    """Sums over all but the channels."""
    # On a CPU 0.16 instead of 0.94 ms for 25,480 x 64.
    x = x.reshape(-1, x.shape[-1])
    return jax.lax.platform_dependent(
        x, cpu=lambda x: jnp.ones(len(x)) @ x, default=lambda x: x.sum(0)
    )


# Padding


def without_padding(
    x: Float[Array, "b h w c"], inside: Bool[Array, "b H W"] | None
) -> Float[Array, "b h w c"]:
    """x with 0 at the points that lie in padding, as a convolution sees what is beyond a map.

    inside: as in `pixel_mean`. A photo's last rows and columns are completed to 16 k + 1, so that
    each lies between two points of the coarsest grid.
    """
    if inside is None:
        return x
    rows, columns = _pixels_of(inside, x)
    # the first of the 16 pixels that end at the next point of the coarsest grid
    first_row, first_column = (np.maximum(0, -(-p // 16) * 16 - 15) for p in (rows, columns))
    kept = inside[:, rows][:, :, columns] | inside[:, first_row][:, :, first_column]
    return x * kept[..., None].astype(x.dtype)


def _pixels_of(
    inside: Bool[Array, "b H W"], x: Float[Array, "b h w c"]
) -> tuple[Int[np.ndarray, " h"], Int[np.ndarray, " w"]]:
    """The pixels that the points of x lie on; corners on corners."""
    return tuple(
        np.round(np.linspace(0, side - 1, points)).astype(int)
        for side, points in zip(inside.shape[1:], x.shape[1:3], strict=True)
    )


# Resampling and colours


def hat_matrix(
    positions: Float[Array | np.ndarray, "*b n"], size: int
) -> Float[Array | np.ndarray, "*b n size"]:
    """Bilinear weights of a grid's points 0 to size - 1: max(0, 1 - |position - point|).

    NumPy for NumPy positions, traced for traced ones. A position off the grid by 1 or more has
    weights 0.
    """
    xp = positions.__array_namespace__()
    return xp.maximum(0.0, 1.0 - xp.abs(positions[..., None] - xp.arange(size)))


def interpolate(
    x: Float[Array, "b h w c"],
    rows: Float[np.ndarray, " h2"],
    columns: Float[np.ndarray, " w2"],
) -> Float[Array, "b h2 w2 c"]:
    """Bilinear values at these rows (0 to h - 1) and columns, as two small matrix products."""
    rows = jnp.asarray(hat_matrix(rows, x.shape[1]), x.dtype)
    columns = jnp.asarray(hat_matrix(columns, x.shape[2]), x.dtype)
    # float32 logits stay float32: on a GPU or TPU the default would round them
    exact = jax.lax.Precision.HIGHEST
    x = jnp.einsum("Hh,bhwc->bHwc", rows, x, precision=exact)
    return jnp.einsum("Ww,bHwc->bHWc", columns, x, precision=exact)


def resize(x: Float[Array, "b h w c"], size: tuple[int, int]) -> Float[Array, "b h2 w2 c"]:
    """Bilinear resize with align_corners=True: output i reads i * (old - 1) / (new - 1)."""
    if x.shape[1:3] == tuple(size):
        return x
    positions = (
        np.linspace(0.0, old - 1.0, new) for old, new in zip(x.shape[1:3], size, strict=True)
    )
    return interpolate(x, *positions)


def normalise(
    images: UInt8[Array, "b h w 3"],
    mean: tuple[float, ...],
    std: tuple[float, ...],
    channels: str = "rgb",
) -> Float[Array, "b h w 3"]:
    """RGB bytes 0-255 -> float32 (x - mean) / std per channel; runs on the device.

    channels: the order in which the network wants them, "rgb" or "bgr"; mean and std are RGB.
    """
    scale = 1.0 / jnp.asarray(std, jnp.float32)
    x = (images.astype(jnp.float32) - jnp.asarray(mean, jnp.float32)) * scale
    return x if channels == "rgb" else x[..., ::-1]
