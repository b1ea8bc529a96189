"""Layers that the networks share: convolutions, with batch norm or with a bias, and batch norm."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float

from hparse_jax.models.ops import column_sums, convolution, without_padding

kernel_init = nn.initializers.variance_scaling(2.0, "fan_out", "normal")

_MOMENTUM = 0.9  # of the running averages; torch calls the same 0.1
EPSILON = 1e-5


def scale_channels(channels: int, width: float) -> int:
    """A channel count of a network at a width (`config.model.width`)."""
    return max(8, round(channels * width))


class ConvNorm(nn.Module):
    """Convolution, batch norm and, unless told otherwise, ReLU.

    [b, h, w, c] -> [b, ceil(h / stride), ceil(w / stride), features]. bias: the convolution has
    one, which the norm makes redundant; one released layer does. inside: the result is 0 outside
    (see `without_padding`).
    """

    features: int
    kernel: int = 3
    stride: int = 1
    dilation: int = 1
    relu: bool = True
    dtype: str = "float32"
    bias: bool = False

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b h w c"],
        train: bool = False,
        inside: Bool[Array, "b H W"] | None = None,
    ) -> Float[Array, "b h2 w2 features"]:
        shape = (self.kernel, self.kernel, x.shape[-1], self.features)
        kernel = self.param("kernel", kernel_init, shape)
        x, kernel = nn.dtypes.promote_dtype(x, kernel, dtype=self.dtype)
        x = convolution(x, kernel, stride=self.stride, dilation=self.dilation)
        if self.bias:
            x = x + self.param("bias", nn.initializers.zeros, (self.features,)).astype(x.dtype)
        x = BatchNorm(self.dtype, name="norm")(x, train)
        return without_padding(nn.relu(x) if self.relu else x, inside)


class Conv(nn.Module):
    """Convolution with bias; ReLU unless told otherwise."""

    features: int
    kernel: int = 3
    stride: int = 1
    dilation: int = 1
    relu: bool = True
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 features"]:
        # He's initialisation: without batch norm, sixteen layers must keep the signal's size
        init = nn.initializers.variance_scaling(2.0, "fan_in", "truncated_normal")
        shape = (self.kernel, self.kernel, x.shape[-1], self.features)
        kernel = self.param("kernel", init, shape)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
        x = convolution(x, kernel, stride=self.stride, dilation=self.dilation) + bias
        return nn.relu(x) if self.relu else x


class BatchNorm(nn.Module):
    """(x - mean) / sqrt(var + 1e-5) * scale + bias for each channel; statistics in float32.

    train: with the batch's own mean and (biased) variance, which also move the running ones;
    otherwise with the running ones. The same layer as `flax.linen.BatchNorm`, names of variables
    included, with its gradient written out: a layer took a quarter to two fifths of the time on a
    CPU, and the formula is right everywhere. Under `jax.jit` a sum over a batch that is sharded
    over devices is the sum over all of them: batch norm is synchronised (CNIF section 4.1).
    """

    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: Float[Array, "*n c"], train: bool) -> Float[Array, "*n c"]:
        channels = x.shape[-1:]
        scale = self.param("scale", nn.initializers.ones, channels)
        bias = self.param("bias", nn.initializers.zeros, channels)
        mean = self.variable("batch_stats", "mean", jnp.zeros, channels)
        var = self.variable("batch_stats", "var", jnp.ones, channels)
        if not train:
            slope = scale * jax.lax.rsqrt(var.value + EPSILON)
            return (x.astype(jnp.float32) * slope + (bias - mean.value * slope)).astype(self.dtype)
        y, statistics = _normalise(x, scale, bias)
        if not self.is_initializing():
            for running, current in zip((mean, var), statistics, strict=True):
                running.value = _MOMENTUM * running.value + (1 - _MOMENTUM) * current
        return y.astype(self.dtype)


@jax.custom_vjp
def _normalise(x, scale, bias):
    return _forward(x, scale, bias)[0]


def _forward(x, scale, bias):
    wide = x.astype(jnp.float32)
    count = x.size // x.shape[-1]
    mean = column_sums(wide) / count
    var = jnp.maximum(column_sums(wide * wide) / count - mean * mean, 0.0)
    inverse = jax.lax.rsqrt(var + EPSILON)
    slope = scale * inverse
    y = (wide * slope + (bias - mean * slope)).astype(x.dtype)
    return (y, (mean, var)), (x, mean, inverse, scale)


def _backward(saved, gradients):
    """To x: slope * (d - mean(d) - standardised * mean(d * standardised)); the running statistics
    pass no gradient."""
    x, mean, inverse, scale = saved
    d = gradients[0].astype(jnp.float32)
    standardised = (x.astype(jnp.float32) - mean) * inverse
    to_bias, to_scale = column_sums(d), column_sums(d * standardised)
    count = x.size // x.shape[-1]
    to_x = (scale * inverse) * (d - to_bias / count - standardised * (to_scale / count))
    return to_x.astype(x.dtype), to_scale, to_bias


_normalise.defvjp(_forward, _backward)
