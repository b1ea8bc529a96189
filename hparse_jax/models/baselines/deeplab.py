"""DeepLab-LargeFOV and DeepLabV2 (Chen et al. 2016a) and Attention to scale (Chen et al. 2016b).

All on VGG-16. The last two see an image at the scales `config.input_scales`; the logits of each
scale are auxiliary maps: extra supervision, as the released networks have it.
"""

import functools
from collections.abc import Sequence

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


class DeepLabLargeFOV(nn.Module):
    """Images [b, h, w, 3], normalised -> ParserOutput with leaf logits at stride 8.

    Dilated VGG-16 and one classifier of a large field of view. Its variables have the names that
    they have in `Attention`.
    """

    config: ModelConfig
    hierarchy: Hierarchy

    def setup(self):
        self.vgg = VGG(self.config, atrous=True)
        leaves = len(self.hierarchy.levels[0].nodes)
        self.classifier = Classifier(self.config, leaves, _LARGE_FOV)

    def __call__(
        self,
        images: Float[Array, "b h w 3"],
        train: bool = False,
        inside: Bool[Array, "b h w"] | None = None,
    ) -> ParserOutput:
        logits, _ = self.classifier(max_pool(self.vgg(images)[4], stride=1), train)
        return leaf_output(logits)


class DeepLabV2(nn.Module):
    """Images [b, h, w, 3], normalised -> ParserOutput with leaf logits at stride 8.

    Dilated VGG-16 and four classifiers of different dilation whose logits add up (ASPP-L). At every
    position and for every class the largest logit of all scales is the fused one, in training,
    too; that and the loss of each scale follow a public reimplementation.
    """

    config: ModelConfig
    hierarchy: Hierarchy

    def setup(self):
        self.vgg = VGG(self.config, atrous=True)
        leaves = len(self.hierarchy.levels[0].nodes)
        branches = (Classifier(self.config, leaves, rate) for rate in _RATES)
        self.rate6, self.rate12, self.rate18, self.rate24 = branches

    def __call__(
        self,
        images: Float[Array, "b h w 3"],
        train: bool = False,
        inside: Bool[Array, "b h w"] | None = None,
    ) -> ParserOutput:
        scales = self.config.input_scales
        logits = [self.one_scale(x, train) for x in inputs_at(images, scales)]
        fine = [resize(scores, grid_of(images)) for scores in logits]
        return leaf_output(functools.reduce(jnp.maximum, fine), supervised(scales, logits))

    def one_scale(
        self, images: Float[Array, "b h w 3"], train: bool
    ) -> Float[Array, "b h2 w2 leaves"]:
        """Leaf logits at stride 8 of images at one scale."""
        x = max_pool(self.vgg(images)[4], stride=1)
        branches = (self.rate6, self.rate12, self.rate18, self.rate24)
        return sum(branch(x, train)[0] for branch in branches)


class Attention(nn.Module):
    """Images [b, h, w, 3], normalised -> ParserOutput with leaf logits at stride 8.

    One DeepLab-LargeFOV sees the images at every scale; a softmax over the scales, computed from
    their fc7 features, weighs their logits at each position of the grid. With an
    `config.attention_stride` of 4 the weights are computed at every fourth point along each side
    and interpolated in between.
    """

    config: ModelConfig
    hierarchy: Hierarchy

    def setup(self):
        width, dtype, stride = self.config.width, self.config.dtype, self.config.attention_stride
        leaves, scales = len(self.hierarchy.levels[0].nodes), len(self.config.input_scales)
        self.vgg = VGG(self.config, atrous=True)
        self.classifier = Classifier(self.config, leaves, _LARGE_FOV)
        self.attention1 = Conv(scale_channels(512, width), stride=stride, dtype=dtype)
        self.attention2 = Conv(scales, 1, relu=False, dtype=dtype)
        self.dropout = nn.Dropout(0.5)

    def __call__(
        self,
        images: Float[Array, "b h w 3"],
        train: bool = False,
        inside: Bool[Array, "b h w"] | None = None,
    ) -> ParserOutput:
        scales, grid = self.config.input_scales, grid_of(images)
        pooled = (max_pool(self.vgg(x)[4], stride=1) for x in inputs_at(images, scales))
        logits, features = zip(*(self.classifier(x, train) for x in pooled), strict=True)
        x = self.attention1(jnp.concatenate([resize(f, grid) for f in features], -1))
        x = self.attention2(self.dropout(x, deterministic=not train)).astype(jnp.float32)
        weights = jax.nn.softmax(_upsample(x, grid, self.config.attention_stride))
        fused = sum(
            weights[..., i : i + 1] * resize(scores, grid) for i, scores in enumerate(logits)
        )
        return leaf_output(fused, supervised(scales, logits))


def inputs_at(
    images: Float[Array, "b h w 3"], scales: tuple[float, ...]
) -> list[Float[Array, "b _ _ 3"]]:
    """The images at each scale."""
    size = images.shape[1:3]
    return [resize(images, tuple(input_side(side, scale) for side in size)) for scale in scales]


def input_side(side: int, scale: float) -> int:
    """The side of an input at another scale: 8 k + 1, so that the grids' corners coincide."""
    return side if scale == 1 else int((side - 1) * scale / 8) * 8 + 1


def grid_of(images: Float[Array, "b h w 3"]) -> tuple[int, int]:
    """The grid of stride 8 of the logits."""
    height, width = images.shape[1:3]
    return -(-height // 8), -(-width // 8)


def supervised(
    scales: Sequence[float], logits: Sequence[Float[Array, "b _ _ leaves"]]
) -> dict[str, Float[Array, "b _ _ leaves"]]:
    """The auxiliary maps: the logits of each scale, unless there is but one."""
    names = (f"scale{scale:g}" for scale in scales)
    return dict(zip(names, logits, strict=True)) if len(scales) > 1 else {}


def _upsample(
    x: Float[Array, "b h w c"], size: tuple[int, int], stride: int
) -> Float[Array, "b h2 w2 c"]:
    """From every stride-th point of a grid of this size to all; beyond the last one, its value."""
    if stride == 1:
        return x
    points = (np.arange(side) / stride for side in size)
    rows, columns = (np.minimum(p, n - 1) for p, n in zip(points, x.shape[1:3], strict=True))
    return interpolate(x, rows, columns)
