"""FCN-8s (Long et al. 2015): VGG-16 with a convolutional classifier, scores of three strides."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Bool, Float

from hparse_jax.config import ModelConfig
from hparse_jax.hierarchy import Hierarchy
from hparse_jax.models.layers import Conv, scale_channels
from hparse_jax.models.ops import interpolate, max_pool_2x2
from hparse_jax.models.output import ParserOutput, leaf_output
from hparse_jax.models.vgg import VGG

_CENTRE = 3.5  # pixels: the centre of the first 8 x 8 pixels, which the first score of pool3 covers


class FCN8s(nn.Module):
    """Images [b, h, w, 3], normalised -> ParserOutput with leaf logits at stride 8.

    Scores of fc7 (stride 32) are doubled in size and added to those of pool4, these are doubled and
    added to those of pool3; both doublings are learned, bilinear at the start. The last step, eight
    times bilinear and fixed in the paper, is left to whoever needs the pixels. Every convolution is
    padded by half its kernel, where the paper pads the image by 100.
    """

    config: ModelConfig
    hierarchy: Hierarchy

    def setup(self):
        leaves, dtype = len(self.hierarchy.levels[0].nodes), self.config.dtype
        features = scale_channels(4096, self.config.width)
        self.vgg = VGG(self.config)
        self.fc6 = Conv(features, 7, dtype=dtype)
        self.fc7 = Conv(features, 1, dtype=dtype)
        self.score_fc7 = Conv(leaves, 1, relu=False, dtype=dtype)
        self.score_pool4 = Conv(leaves, 1, relu=False, dtype=dtype)
        self.score_pool3 = Conv(leaves, 1, relu=False, dtype=dtype)
        self.double_fc7 = Double()
        self.double_pool4 = Double()
        self.dropout = nn.Dropout(0.5)

    def __call__(
        self,
        images: Float[Array, "b h w 3"],
        train: bool = False,
        inside: Bool[Array, "b h w"] | None = None,
    ) -> ParserOutput:
        pool3, pool4, pool5 = map(max_pool_2x2, self.vgg(images)[2:])
        x = self.dropout(self.fc6(pool5), deterministic=not train)
        x = self.dropout(self.fc7(x), deterministic=not train)
        scores = (self.score_fc7(x), self.score_pool4(pool4), self.score_pool3(pool3))
        seven, four, three = (x.astype(jnp.float32) for x in scores)
        logits = self.double_fc7(seven, four.shape[1:3]) + four
        logits = self.double_pool4(logits, three.shape[1:3]) + three
        return leaf_output(_align_corners(logits, images.shape[1:3]))


class Double(nn.Module):
    """Transposed convolution 4x4, stride 2, all classes to all classes, no bias; cropped to size.

    Starts as bilinear interpolation of each class by itself.
    """

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], size: tuple[int, int]
    ) -> Float[Array, "b h2 w2 c"]:
        kernel = self.param("kernel", _bilinear, (4, 4, x.shape[-1], x.shape[-1]))
        # the kernel unflipped, not mirrored: it is symmetric at the start
        x = jax.lax.conv_transpose(
            x, kernel, (2, 2), ((2, 2), (2, 2)), dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        return x[:, : size[0], : size[1]]


def _bilinear(key, shape: tuple[int, int, int, int]) -> Float[Array, "4 4 c c"]:
    side = np.array([0.25, 0.75, 0.75, 0.25], np.float32)
    return jnp.einsum("i,j,cd->ijcd", side, side, np.eye(shape[2], dtype=np.float32))


def _align_corners(x: Float[Array, "b h w c"], size: tuple[int, int]) -> Float[Array, "b h2 w2 c"]:
    """From the centres of 8 x 8 pixels to the grid of every 8th pixel, the first one included.

    Its first and last point are the corners of the image when the sides are 8 k + 1.
    """
    positions = (
        np.clip(np.arange(-(-side // 8)) - _CENTRE / 8, 0, n - 1)
        for side, n in zip(size, x.shape[1:3], strict=True)
    )
    return interpolate(x, *positions)
