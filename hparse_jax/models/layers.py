"""Layers that every network shares: convolution with batch norm, bilinear resize, normalising."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, UInt8

from hparse_jax.models.norm import BatchNorm

kernel_init = nn.initializers.variance_scaling(2.0, "fan_out", "normal")

# From this dilation on, nine shifted products beat XLA's dilated convolution: whole taps fall
# into the padding of the small maps on which such dilations are used, and are skipped.
_SHIFTED_FROM = 6


class ConvNorm(nn.Module):
    """Convolution without bias, batch norm and, unless told otherwise, ReLU.

    [b, h, w, c] -> [b, ceil(h / stride), ceil(w / stride), features].
    """

    features: int
    kernel: int = 3
    stride: int = 1
    dilation: int = 1
    relu: bool = True
    dtype: str = "float32"

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], train: bool = False
    ) -> Float[Array, "b h2 w2 features"]:
        shape = (self.kernel, self.kernel, x.shape[-1], self.features)
        kernel = self.param("kernel", kernel_init, shape)
        x, kernel = nn.dtypes.promote_dtype(x, kernel, dtype=self.dtype)
        x = convolution(x, kernel, self.stride, self.dilation)
        x = BatchNorm(self.dtype, name="norm")(x, train)
        return nn.relu(x) if self.relu else x


def convolution(
    x: Float[Array, "b h w c"],
    kernel: Float[Array, "k k i o"],
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
) -> Float[Array, "b h2 w2 o"]:
    """Two-dimensional convolution, padded by half the (dilated) kernel on every side.

    With an odd side 2n + 1, output i of stride 2 is centred on input 2i: grids stay aligned.
    """
    if kernel.shape[0] == 3 and stride == groups == 1 and dilation >= _SHIFTED_FROM:
        return shifted_convolution(x, kernel, dilation)
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
    x: Float[Array, "b h w c"], kernel: Float[Array, "3 3 c o"], dilation: int
) -> Float[Array, "b h w o"]:
    """The same 3x3 convolution of stride 1 as nine 1x1 products of shifted, cropped maps."""
    height, width = x.shape[1:3]
    total = jnp.einsum("bhwc,co->bhwo", x, kernel[1, 1])
    for row in range(3):
        for column in range(3):
            dy, dx = (row - 1) * dilation, (column - 1) * dilation
            if (row, column) == (1, 1) or abs(dy) >= height or abs(dx) >= width:
                continue
            seen = x[:, max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)]
            tap = jnp.einsum("bhwc,co->bhwo", seen, kernel[row, column])
            rows, columns = (max(-dy, 0), max(dy, 0)), (max(-dx, 0), max(dx, 0))
            total = total + jnp.pad(tap, ((0, 0), rows, columns, (0, 0)))
    return total


def max_pool(
    x: Float[Array, "b h w c"], stride: int = 2, ceil: bool = False
) -> Float[Array, "b h2 w2 c"]:
    """Maximum over 3x3 windows, padding 1, as maxima of shifted maps.

    ceil: as torch's ceil_mode, an even side of n gives n / 2 + 1 outputs at stride 2, not n / 2.
    The gradient of XLA's own window maximum took three times as long on a CPU.
    """

    def pool(x, axis):
        size = -(-x.shape[axis] // stride)
        more = int(ceil and (x.shape[axis] - 1) % stride > 0)
        size += more
        padding = [(int(i == axis), (1 + more) * int(i == axis)) for i in range(4)]
        x = jnp.pad(x, padding, constant_values=-jnp.inf)
        last = stride * (size - 1) + 1
        shifts = [jax.lax.slice_in_dim(x, i, i + last, stride, axis) for i in range(3)]
        return functools.reduce(jnp.maximum, shifts)

    return pool(pool(x, 1), 2)


def pixel_mean(x: Float[Array, "b h w c"]) -> Float[Array, "b c"]:
    """The mean over pixels. On a CPU a product with ones: XLA's own sum over pixels is slow."""
    if jax.default_backend() != "cpu":
        return x.mean((1, 2))
    pixels = x.shape[1] * x.shape[2]
    return jnp.ones(pixels, x.dtype) @ x.reshape(x.shape[0], pixels, -1) / pixels


def resize(x: Float[Array, "b h w c"], size: tuple[int, int]) -> Float[Array, "b h2 w2 c"]:
    """Bilinear resize with align_corners=True: output i reads i * (old - 1) / (new - 1)."""
    if x.shape[1:3] == tuple(size):
        return x
    positions = (
        np.linspace(0.0, old - 1.0, new) for old, new in zip(x.shape[1:3], size, strict=True)
    )
    return interpolate(x, *positions)


def interpolate(
    x: Float[Array, "b h w c"],
    rows: Float[np.ndarray, " h2"],
    columns: Float[np.ndarray, " w2"],
) -> Float[Array, "b h2 w2 c"]:
    """Bilinear values at these rows (0 to h - 1) and columns, as two small matrix products."""
    rows = jnp.asarray(_hats(rows, x.shape[1]), x.dtype)
    columns = jnp.asarray(_hats(columns, x.shape[2]), x.dtype)
    # float32 logits stay float32: on a GPU or TPU the default would round them
    exact = jax.lax.Precision.HIGHEST
    x = jnp.einsum("Hh,bhwc->bHwc", rows, x, precision=exact)
    return jnp.einsum("Ww,bHwc->bHWc", columns, x, precision=exact)


def _hats(positions: Float[np.ndarray, " n"], size: int) -> Float[np.ndarray, "n size"]:
    weights = np.maximum(0.0, 1.0 - np.abs(positions[:, None] - np.arange(size)))
    return weights.astype(np.float32)


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
