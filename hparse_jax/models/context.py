"""The image embedding h_I (CNIF Eq. 8): atrous spatial pyramid pooling over the ResNet's blocks."""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from hparse_jax.config import ModelConfig
from hparse_jax.models.layers import BatchNorm, ConvNorm, kernel_init
from hparse_jax.models.ops import pixel_mean, resize


class ImageEmbedding(nn.Module):
    """Block outputs of the ResNet -> h_I at stride 8 (section 3.4, "Backbone Network").

    The context is compressed to the channels of block 2 (512 for ResNet-101), brought to its
    size, and added to it. Widths follow the depth: ASPP branches have half of those channels.
    """

    config: ModelConfig

    @nn.compact
    def __call__(
        self, blocks: tuple[Float[Array, "b _ _ _"], ...], train: bool = False
    ) -> Float[Array, "b h w c"]:
        fine = blocks[1]
        channels = fine.shape[-1]
        rates = (6, 12, 18) if self.config.output_stride == 16 else (12, 24, 36)
        aspp = ASPP(channels // 2, channels, rates, self.config.dtype, name="aspp")
        return resize(aspp(blocks[3], train), fine.shape[1:3]) + fine


class ASPP(nn.Module):
    """One 1x1, three dilated 3x3 branches and the image mean, side by side, then 1x1 (DeepLabV3).

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
