"""DeepLabV2 (Chen et al. 2016a) and Attention to scale (Chen et al. 2016b), both on VGG-16."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Bool, Float

from hparse_jax.config import ModelConfig
from hparse_jax.hierarchy import Hierarchy
from hparse_jax.models.layers import Conv, scale_channels
from hparse_jax.models.ops import interpolate, max_pool, resize
from hparse_jax.models.output import ParserOutput, leaf_output
from hparse_jax.models.vgg import VGG

_RATES = (6, 12, 18, 24)  # dilations of DeepLabV2's ASPP-L, in pixels at stride 8
_LARGE_FOV = 12  # dilation of DeepLab-LargeFOV's fc6
SCALES = (1.0, 0.75, 0.5)  # of Attention
_STRIDE = 4  # points of the finest grid from one of Attention's weights to the next


class Classifier(nn.Module):
    """fc6 (dilated 3x3), fc7, fc8: block 5's output, pooled -> (leaf logits, fc7's features)."""

    config: ModelConfig
    leaves: int
    dilation: int

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], train: bool
    ) -> tuple[Float[Array, "b h w leaves"], Float[Array, "b h w f"]]:
        features, dtype = scale_channels(1024, self.config.width), self.config.dtype
        x = Conv(features, dilation=self.dilation, dtype=dtype, name="fc6")(x)
        x = nn.Dropout(0.5, deterministic=not train)(x)
        x = Conv(features, 1, dtype=dtype, name="fc7")(x)
        x = nn.Dropout(0.5, deterministic=not train)(x)
        logits = Conv(self.leaves, 1, relu=False, dtype=dtype, name="fc8")(x)
        return logits.astype(jnp.float32), x


class DeepLabV2(nn.Module):
    """Images [b, h, w, 3], normalised -> ParserOutput with leaf logits at stride 8.

    Dilated VGG-16 and four classifiers of different dilation whose logits add up (ASPP-L).
    """

    config: ModelConfig
    hierarchy: Hierarchy

    def setup(self):
        self.vgg = VGG(self.config, atrous=True)

    @nn.compact
    def __call__(
        self,
        images: Float[Array, "b h w 3"],
        train: bool = False,
        inside: Bool[Array, "b h w"] | None = None,
    ) -> ParserOutput:
        x = max_pool(self.vgg(images)[4], stride=1)
        leaves = len(self.hierarchy.levels[0].nodes)
        branches = [Classifier(self.config, leaves, r, name=f"rate{r}") for r in _RATES]
        return leaf_output(sum(branch(x, train)[0] for branch in branches))


class Attention(nn.Module):
    """Images [b, h, w, 3], normalised -> ParserOutput with leaf logits at stride 8.

    One DeepLab-LargeFOV sees the images at x1, x0.75 and x0.5; a softmax over the scales, computed
    from their fc7 features, weighs their logits pixel by pixel. The logits of each scale are
    auxiliary maps: extra supervision. The two layers that compute the weights are the paper's, but
    are applied at every fourth point of the grid of x1 along each side, and their results
    interpolated: at all points they alone would cost nearly half as much as a whole scale.
    """

    config: ModelConfig
    hierarchy: Hierarchy

    def setup(self):
        width, dtype = self.config.width, self.config.dtype
        leaves = len(self.hierarchy.levels[0].nodes)
        self.vgg = VGG(self.config, atrous=True)
        self.classifier = Classifier(self.config, leaves, _LARGE_FOV)
        self.attention1 = Conv(scale_channels(512, width), stride=_STRIDE, dtype=dtype)
        self.attention2 = Conv(len(SCALES), 1, relu=False, dtype=dtype)
        self.dropout = nn.Dropout(0.5)

    def __call__(
        self,
        images: Float[Array, "b h w 3"],
        train: bool = False,
        inside: Bool[Array, "b h w"] | None = None,
    ) -> ParserOutput:
        inputs = [
            resize(images, tuple(input_side(side, scale) for side in images.shape[1:3]))
            for scale in SCALES
        ]
        logits, features = zip(*(self.large_fov(x, train) for x in inputs), strict=True)
        fine = logits[0].shape[1:3]
        x = self.attention1(jnp.concatenate([resize(f, fine) for f in features], -1))
        x = self.attention2(self.dropout(x, deterministic=not train))
        weights = jax.nn.softmax(_upsample(x.astype(jnp.float32), fine))
        fused = sum(
            weights[..., i : i + 1] * resize(scores, fine) for i, scores in enumerate(logits)
        )
        names = (f"scale{scale:g}" for scale in SCALES)
        return leaf_output(fused, dict(zip(names, logits, strict=True)))

    def large_fov(
        self, images: Float[Array, "b h w 3"], train: bool
    ) -> tuple[Float[Array, "b h2 w2 leaves"], Float[Array, "b h2 w2 f"]]:
        """DeepLab-LargeFOV at one scale: (leaf logits, fc7's features), at stride 8."""
        return self.classifier(max_pool(self.vgg(images)[4], stride=1), train)


def input_side(side: int, scale: float) -> int:
    """The side of an input at a smaller scale: 8 k + 1, so that the grids' corners coincide."""
    return side if scale == 1 else int((side - 1) * scale / 8) * 8 + 1


def _upsample(x: Float[Array, "b h w c"], size: tuple[int, int]) -> Float[Array, "b h2 w2 c"]:
    """From every fourth point of a grid of this size to all; beyond the last one, its value."""
    points = (np.arange(side) / _STRIDE for side in size)
    rows, columns = (np.minimum(p, n - 1) for p, n in zip(points, x.shape[1:3], strict=True))
    return interpolate(x, rows, columns)
