"""VGG-16's 13 convolutions (Simonyan and Zisserman 2015), plain or with holes as in DeepLab."""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from hparse_jax.config import ModelConfig
from hparse_jax.models.layers import convolution, max_pool

LAYERS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # (channels, convolutions) of a block


def scaled(channels: int, width: float) -> int:
    """A channel count at a network's width."""
    return max(8, round(channels * width))


class Conv(nn.Module):
    """Convolution with bias; ReLU unless told otherwise."""

    features: int
    kernel: int = 3
    dilation: int = 1
    stride: int = 1
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
        x = convolution(x, kernel, self.stride, self.dilation) + bias
        return nn.relu(x) if self.relu else x


class VGG(nn.Module):
    """Images -> the outputs of the five blocks, the last ones before their pooling.

    atrous: pooling over 3x3, centred, with stride 2 after blocks 1 to 3 and stride 1 after block 4,
    and dilation 2 in block 5: blocks 4 and 5 at stride 8 (DeepLab). Otherwise pooling over 2x2,
    stride 2, after blocks 1 to 4, odd sides rounded up; or down, as torchvision's network does.
    """

    config: ModelConfig
    atrous: bool = False
    round_down: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "b h w 3"]) -> tuple[Float[Array, "b _ _ _"], ...]:
        outputs = []
        for block, (channels, layers) in enumerate(LAYERS, 1):
            for layer in range(1, layers + 1):
                dilation = 2 if self.atrous and block == 5 else 1
                features = scaled(channels, self.config.width)
                x = Conv(
                    features,
                    dilation=dilation,
                    dtype=self.config.dtype,
                    name=f"conv{block}_{layer}",
                )(x)
            outputs.append(x)
            if block == 5:
                break
            if self.round_down:
                x = x[:, : x.shape[1] // 2 * 2, : x.shape[2] // 2 * 2]
            x = max_pool(x, 2 if block < 4 else 1) if self.atrous else pool_pairs(x)
        return tuple(outputs)


class VGGBackbone(nn.Module):
    """VGG-16 by itself, as torchvision's: normalised images -> the five blocks' outputs."""

    config: ModelConfig

    def setup(self):
        self.vgg = VGG(self.config, round_down=True)

    def __call__(
        self, images: Float[Array, "b h w 3"], train: bool = False
    ) -> tuple[Float[Array, "b _ _ _"], ...]:
        return self.vgg(images.astype(self.config.dtype))


def pairs(x: Float[Array, "b h w c"], fill: float) -> Float[Array, "b h2 w2 4 c"]:
    """The four values of every 2x2 window, stride 2; odd sides are filled up."""
    b, height, width, c = x.shape
    x = jnp.pad(x, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), constant_values=fill)
    x = x.reshape(b, (height + 1) // 2, 2, (width + 1) // 2, 2, c)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(b, (height + 1) // 2, (width + 1) // 2, 4, c)


def pool_pairs(x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 c"]:
    """Maximum over 2x2 windows, stride 2, odd sides rounded up."""
    return pairs(x, -jnp.inf).max(3)
