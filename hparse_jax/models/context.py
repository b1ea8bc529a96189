"""Atrous spatial pyramid pooling (DeepLabV3): context at several ranges (CNIF section 3.4)."""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from hparse_jax.models.layers import ConvNorm, kernel_init, pixel_mean
from hparse_jax.models.norm import BatchNorm


class ASPP(nn.Module):
    """One 1x1, three dilated 3x3 branches and the image mean, side by side, then 1x1.

    rates: dilations in pixels of the input map. branch, features: channels of a branch and of
    the result.
    """

    branch: int
    features: int
    rates: tuple[int, ...]
    dtype: str

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], train: bool = False
    ) -> Float[Array, "b h w features"]:
        def conv(kernel, dilation, name):
            return ConvNorm(self.branch, kernel, dilation=dilation, dtype=self.dtype, name=name)

        branches = [conv(1, 1, "point")(x, train)]
        branches += [conv(3, rate, f"rate{rate}")(x, train) for rate in self.rates]
        # The image mean is one vector per sample: it joins the 1x1 product as a bias, so that it
        # never has to be spread over the map.
        mean = conv(1, 1, "image")(pixel_mean(x)[:, None, None, :], train)
        return Project(self.features, self.dtype, name="project")(branches, mean, train)


class Project(nn.Module):
    """1x1 convolution of concatenated maps and a per-image vector, batch norm, ReLU."""

    features: int
    dtype: str

    @nn.compact
    def __call__(
        self,
        maps: list[Float[Array, "b h w c"]],
        vector: Float[Array, "b 1 1 c"],
        train: bool,
    ) -> Float[Array, "b h w features"]:
        x = jnp.concatenate(maps, -1)
        channels = x.shape[-1]
        kernel = self.param("kernel", kernel_init, (channels + vector.shape[-1], self.features))
        x, vector, kernel = nn.dtypes.promote_dtype(x, vector, kernel, dtype=self.dtype)
        x = x @ kernel[:channels] + vector @ kernel[channels:]
        x = BatchNorm(self.dtype, name="norm")(x, train)
        return nn.relu(x)
