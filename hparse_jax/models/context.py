"""The image embedding h_I (CNIF Eq. 8): atrous spatial pyramid pooling over the ResNet's blocks."""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float

from hparse_jax.config import ModelConfig
from hparse_jax.models.layers import BatchNorm, Conv, ConvNorm, kernel_init
from hparse_jax.models.ops import pixel_mean, resize, without_padding


class ImageEmbedding(nn.Module):
    """Block outputs of the ResNet -> h_I at stride 8 (section 3.4, "Backbone Network").

    The context is compressed to the channels of block 2 (512 for ResNet-101), brought to its
    size, and added to it. Widths follow the depth: ASPP branches have half of those channels.
    """

    config: ModelConfig

    @nn.compact
    def __call__(
        self,
        blocks: tuple[Float[Array, "b _ _ _"], ...],
        train: bool = False,
        inside: Bool[Array, "b H W"] | None = None,
    ) -> Float[Array, "b h w c"]:
        fine = blocks[1]
        channels = fine.shape[-1]
        aspp = ASPP(self.config, channels // 2, channels, name="aspp")
        context = resize(aspp(blocks[3], train, inside), fine.shape[1:3])
        return without_padding(context, inside) + fine


class ASPP(nn.Module):
    """One 1x1, three dilated 3x3 branches and the image mean, side by side, then 1x1 (DeepLabV3).

    The paper names the module alone: its dilations (`config.aspp_rates`, in pixels of the input
    map) and its batch norm are DeepLabV3's. branch, features: channels of a branch and of the
    result.
    """

    config: ModelConfig
    branch: int
    features: int

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b h w c"],
        train: bool = False,
        inside: Bool[Array, "b H W"] | None = None,
    ) -> Float[Array, "b h w features"]:
        def conv(x, kernel, dilation, name):
            sizes = {"dilation": dilation, "dtype": self.config.dtype, "name": name}
            if self.config.aspp_norm:
                return ConvNorm(self.branch, kernel, **sizes)(x, train)
            return Conv(self.branch, kernel, **sizes)(x)

        rates = (6, 12, 18) if self.config.output_stride == 16 else (12, 24, 36)
        branches = [conv(x, 1, 1, "point")]
        branches += [conv(x, 3, r, f"rate{r}") for r in self.config.aspp_rates or rates]
        # The image mean is one vector per sample: it joins the 1x1 product as a bias, so that it
        # never has to be spread over the map.
        mean = conv(pixel_mean(x, inside)[:, None, None, :], 1, 1, "image")
        return Project(self.config, self.features, name="project")(branches, mean, train)


class Project(nn.Module):
    """1x1 convolution of concatenated maps and a per-image vector, batch norm or bias, ReLU."""

    config: ModelConfig
    features: int

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
        x, vector, kernel = nn.dtypes.promote_dtype(x, vector, kernel, dtype=self.config.dtype)
        x = x @ kernel[:channels] + vector @ kernel[channels:]
        if self.config.aspp_norm:
            x = BatchNorm(self.config.dtype, name="norm")(x, train)
        else:
            x = x + self.param("bias", nn.initializers.zeros, (self.features,)).astype(x.dtype)
        return nn.relu(x)
