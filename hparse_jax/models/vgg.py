"""VGG-16 (Simonyan and Zisserman 2015): its 13 convolutions, plain or dilated as in DeepLab, and
what becomes of its two hidden classifier layers."""

import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float

from hparse_jax.config import ModelConfig
from hparse_jax.models.layers import Conv, ConvNorm, scale_channels
from hparse_jax.models.ops import max_pool, max_pool_2x2

LAYERS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # (channels, convolutions) of a block


class VGG(nn.Module):
    """Images -> the outputs of the five blocks, the last ones before their pooling.

    atrous: pooling over 3x3, centred, with stride 2 after blocks 1 to 3 and stride 1 after block 4,
    and dilation 2 in block 5: blocks 4 and 5 at stride 8 (DeepLab). Otherwise pooling over 2x2,
    stride 2, after blocks 1 to 4, odd sides rounded up; or down, as torchvision's network does.
    norm: batch norm instead of biases, as in SegNet. classifier: there are weights of fc6 (7x7) and
    fc7 as well, which no block depends on; `start_from` gives them to networks.
    """

    config: ModelConfig
    atrous: bool = False
    round_down: bool = False
    norm: bool = False
    classifier: bool = False

    @nn.compact
    def __call__(
        self, images: Float[Array, "b h w 3"], train: bool = False
    ) -> tuple[Float[Array, "b _ _ _"], ...]:
        config = self.config
        x = images.astype(config.dtype)
        outputs = []
        for block, (channels, layers) in enumerate(LAYERS, 1):
            features = scale_channels(channels, config.width)
            dilation = 2 if self.atrous and block == 5 else 1
            for layer in range(1, layers + 1):
                name = f"conv{block}_{layer}"
                if self.norm:
                    x = ConvNorm(features, dtype=config.dtype, name=name)(x, train)
                else:
                    x = Conv(features, dilation=dilation, dtype=config.dtype, name=name)(x)
            outputs.append(x)
            if block == 5:
                break
            if self.round_down:
                x = x[:, : x.shape[1] // 2 * 2, : x.shape[2] // 2 * 2]
            x = max_pool(x, stride=2 if block < 4 else 1) if self.atrous else max_pool_2x2(x)
        if self.classifier and self.is_initializing():
            features = scale_channels(4096, config.width)
            fc6 = Conv(features, 7, dtype=config.dtype, name="fc6")(max_pool_2x2(x))
            Conv(features, 1, dtype=config.dtype, name="fc7")(fc6)
        return tuple(outputs)


def subsample(x: Float[np.ndarray, "..."], shape: tuple[int, ...]) -> Float[np.ndarray, "..."]:
    """Every n-th element along each axis, the first one included, with the n that gives this shape.

    So DeepLab makes its 3x3 fc6 of 1024 channels from the 7x7 one of 4096: taps 0, 3 and 6,
    channels 0, 4, 8, ... Shapes that no n gives come out differently.
    """
    steps = (max(1, -(-old // new)) for old, new in zip(x.shape, shape, strict=True))
    return x[tuple(slice(None, None, step) for step in steps)]
