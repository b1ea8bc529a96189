"""A small network whose logits are known: how far this backend is from NumPy in float64.

It consists of the package's own layers. NumPy computes the same network anew at every call:
convolutions as loops over their taps, resampling with `np.interp`. Its weights and its image are
sines, the same everywhere.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from hparse_jax.models.layers import EPSILON, Conv, ConvNorm
from hparse_jax.models.ops import max_pool, pixel_mean, resize

# The largest error that counts as right, as a share of the largest logit. Accelerators round the
# factors of float32 products to 11 or 8 bits on purpose, bfloat16 has 8 everywhere. Measured on a
# CPU alone: 4e-7 and 7e-3.
LIMITS = {"float32": {"cpu": 1e-5, "other": 2e-2}, "bfloat16": {"cpu": 5e-2, "other": 5e-2}}
_SIZE = (65, 49)
_CHANNELS = 64


class KnownNetwork(nn.Module):
    """A stem, pooling, two dilated convolutions, a gate and logits at the image's size."""

    dtype: str

    @nn.compact
    def __call__(self, images):
        x = max_pool(ConvNorm(_CHANNELS, stride=2, dtype=self.dtype, name="stem")(images))
        near = ConvNorm(_CHANNELS, dilation=2, dtype=self.dtype, name="near")(x)
        x = near + ConvNorm(_CHANNELS, dilation=6, dtype=self.dtype, name="far")(x)
        gate = self.param("gate", nn.initializers.zeros, (_CHANNELS, _CHANNELS)).astype(x.dtype)
        x = x * nn.sigmoid(pixel_mean(x) @ gate)[:, None, None]
        logits = Conv(8, 1, relu=False, dtype=self.dtype, name="logits")(x)
        return resize(logits.astype(jnp.float32), images.shape[1:3])


def precision(dtype: str) -> float:
    """The largest error of the known network's logits on this backend, as a share of the largest
    logit. dtype: "float32" or "bfloat16"."""
    images = _sines((1, *_SIZE, 3), 0)
    model = KnownNetwork(dtype)
    shapes = jax.eval_shape(model.init, jax.random.key(0), images)
    variables = jax.tree_util.tree_map_with_path(_known, shapes)
    found = np.asarray(jax.jit(model.apply)(variables, images), np.float64)
    exact = jax.tree.map(lambda x: np.asarray(x, np.float64), (variables, images))
    wanted = known_logits(*exact)
    error = np.abs(found - wanted).max() / np.abs(wanted).max()
    return float(error) if math.isfinite(error) else math.inf


def limit(dtype: str) -> float:
    """The largest `precision` that counts as right on this backend."""
    kind = jax.devices()[0].platform
    return LIMITS[dtype].get(kind, LIMITS[dtype]["other"])


def _known(path: tuple, x: jax.ShapeDtypeStruct) -> np.ndarray:
    """The value of one variable: kernels keep the size of their input, variances are above 0."""
    names = [part.key for part in path]
    values = _sines(x.shape, sum("/".join(names).encode()))
    if names[-1] in ("kernel", "gate"):
        return values * np.float32(2 / math.sqrt(math.prod(x.shape[:-1])))
    return 1 + values / 2 if names[-1] in ("scale", "var") else values / 4


def _sines(shape: tuple[int, ...], start: int) -> np.ndarray:
    positions = np.arange(math.prod(shape), dtype=np.float64)
    return np.sin(start + 1.7 * positions + 1e-3 * positions**2).astype(np.float32).reshape(shape)


def known_logits(variables: dict, images: np.ndarray) -> np.ndarray:
    """The logits of the known network [1, h, w, 8] in NumPy, in the type of its arguments."""
    params = variables["params"]

    def convolved(x, name, stride=1, dilation=1):
        kernel, norm = params[name]["kernel"], params[name]["norm"]
        stats = variables["batch_stats"][name]["norm"]
        x = _taps(x, kernel, stride, dilation)
        x = (x - stats["mean"]) / np.sqrt(stats["var"] + EPSILON) * norm["scale"] + norm["bias"]
        return np.maximum(x, 0)

    x = convolved(images, "stem", stride=2)
    h, w = x.shape[1:3]
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
    x = np.max([padded[:, i : i + h : 2, j : j + w : 2] for i in range(3) for j in range(3)], 0)
    x = convolved(x, "near", dilation=2) + convolved(x, "far", dilation=6)
    x = x / (1 + np.exp(-(x.mean((1, 2)) @ params["gate"])))[:, None, None]
    x = x @ params["logits"]["kernel"][0, 0] + params["logits"]["bias"]
    for axis, side in ((1, images.shape[1]), (2, images.shape[2])):
        old = np.arange(x.shape[axis])
        new = np.linspace(0, old[-1], side)
        x = np.apply_along_axis(lambda line, new, old: np.interp(new, old, line), axis, x, new, old)
    return x


def _taps(x: np.ndarray, kernel: np.ndarray, stride: int, dilation: int) -> np.ndarray:
    height, width = x.shape[1:3]
    x = np.pad(x, ((0, 0), (dilation, dilation), (dilation, dilation), (0, 0)))
    total = 0
    for i in range(3):
        for j in range(3):
            rows = x[:, i * dilation : i * dilation + height : stride]
            total = total + rows[:, :, j * dilation : j * dilation + width : stride] @ kernel[i, j]
    return total
