"""FCN-8s (Long et al. 2015): VGG-16 with a convolutional classifier, scores of three strides."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float

from hparse_jax.hierarchy import Hierarchy
from hparse_jax.models.output import ParserOutput, parts_alone
from hparse_jax.models.vgg import VGG, Conv, pool_pairs, scaled

_CENTRE = 3.5  # pixels: where the first of the 8 x 8 pixels under a score of pool3 has its middle


class FCN8s(nn.Module):
    """Images [b, h, w, 3], normalised -> ParserOutput with leaf logits at stride 8.

    Scores of fc7 (stride 32) are doubled in size and added to those of pool4, these are doubled and
    added to those of pool3; both doublings are learned, bilinear at the start. The last step, eight
    times bilinear and fixed in the paper, is left to whoever needs the pixels. Every convolution is
    padded by half its kernel, where the paper pads the image by 100.
    """

    hierarchy: Hierarchy
    width: float
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, images: Float[Array, "b h w 3"], train: bool = False) -> ParserOutput:
        leaves = len(self.hierarchy.levels[0].nodes)

        def score(x, name):
            conv = Conv(leaves, 1, relu=False, dtype=self.dtype, name=name)
            return conv(x).astype(jnp.float32)

        blocks = VGG(False, self.width, self.dtype, name="vgg")(images.astype(self.dtype))
        pool3, pool4, pool5 = map(pool_pairs, blocks[2:])
        features = scaled(4096, self.width)
        x = Conv(features, 7, dtype=self.dtype, name="fc6")(pool5)
        x = nn.Dropout(0.5, deterministic=not train)(x)
        x = Conv(features, 1, dtype=self.dtype, name="fc7")(x)
        x = nn.Dropout(0.5, deterministic=not train)(x)
        logits = Double(name="double_fc7")(score(x, "score_fc7"), pool4.shape[1:3])
        logits = logits + score(pool4, "score_pool4")
        logits = Double(name="double_pool4")(logits, pool3.shape[1:3])
        logits = logits + score(pool3, "score_pool3")
        return parts_alone(_onto_corners(logits, images.shape[1:3]))


class Double(nn.Module):
    """Transposed convolution 4x4, stride 2, all classes to all classes, without bias; cut to size.

    Starts as bilinear interpolation of each class by itself.
    """

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], size: tuple[int, int]
    ) -> Float[Array, "b h2 w2 c"]:
        kernel = self.param("kernel", _bilinear, (4, 4, x.shape[-1], x.shape[-1]))
        # the kernel as it stands, not mirrored: it is symmetric at the start
        x = jax.lax.conv_transpose(
            x, kernel, (2, 2), ((2, 2), (2, 2)), dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        return x[:, : size[0], : size[1]]


def _bilinear(key, shape: tuple[int, int, int, int]) -> Float[Array, "4 4 c c"]:
    side = np.array([0.25, 0.75, 0.75, 0.25], np.float32)
    return jnp.einsum("i,j,cd->ijcd", side, side, np.eye(shape[2], dtype=np.float32))


def _onto_corners(x: Float[Array, "b h w c"], size: tuple[int, int]) -> Float[Array, "b h2 w2 c"]:
    """From the middles of 8 x 8 pixels to the grid that every 8th pixel from the first one makes.

    Its first and last point are the corners of the image when the sides are 8 k + 1.
    """
    for axis, side in ((1, size[0]), (2, size[1])):
        points = -(-side // 8)
        positions = np.clip((8 * np.arange(points) - _CENTRE) / 8, 0, x.shape[axis] - 1)
        weights = np.maximum(0, 1 - np.abs(positions[:, None] - np.arange(x.shape[axis])))
        x = jnp.moveaxis(
            jnp.tensordot(weights.astype(np.float32), x, (1, axis), precision="highest"), 0, axis
        )
    return x
