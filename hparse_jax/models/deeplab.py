"""DeepLabV2 (Chen et al. 2016a) and Attention to scale (Chen et al. 2016b), both on VGG-16."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from hparse_jax.hierarchy import Hierarchy
from hparse_jax.models.layers import max_pool, resize
from hparse_jax.models.output import ParserOutput, parts_alone
from hparse_jax.models.vgg import VGG, Conv, scaled

_RATES = (6, 12, 18, 24)  # dilations of DeepLabV2's ASPP-L, in pixels at stride 8
_LARGE_FOV = 12  # dilation of DeepLab-LargeFOV's fc6
SCALES = (1.0, 0.75, 0.5)  # of Attention


class Classifier(nn.Module):
    """fc6 (3x3 with holes), fc7, fc8: block 5's output, pooled -> (leaf logits, fc7's features)."""

    leaves: int
    dilation: int
    width: float
    dtype: jnp.dtype

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], train: bool
    ) -> tuple[Float[Array, "b h w leaves"], Float[Array, "b h w f"]]:
        features = scaled(1024, self.width)
        x = Conv(features, 3, self.dilation, dtype=self.dtype, name="fc6")(x)
        x = nn.Dropout(0.5, deterministic=not train)(x)
        x = Conv(features, 1, dtype=self.dtype, name="fc7")(x)
        x = nn.Dropout(0.5, deterministic=not train)(x)
        logits = Conv(self.leaves, 1, relu=False, dtype=self.dtype, name="fc8")(x)
        return logits.astype(jnp.float32), x


class DeepLabV2(nn.Module):
    """Images [b, h, w, 3], normalised -> ParserOutput with leaf logits at stride 8.

    VGG-16 with holes and four classifiers of different dilation whose logits add up (ASPP-L).
    """

    hierarchy: Hierarchy
    width: float
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, images: Float[Array, "b h w 3"], train: bool = False) -> ParserOutput:
        leaves = len(self.hierarchy.levels[0].nodes)
        blocks = VGG(True, self.width, self.dtype, name="vgg")(images.astype(self.dtype))
        x = max_pool(blocks[4], stride=1)
        branches = [
            Classifier(leaves, rate, self.width, self.dtype, name=f"rate{rate}")(x, train)[0]
            for rate in _RATES
        ]
        return parts_alone(sum(branches))


class Attention(nn.Module):
    """Images [b, h, w, 3], normalised -> ParserOutput with leaf logits at stride 8.

    One DeepLab-LargeFOV sees the images at x1, x0.75 and x0.5; a softmax over the scales, read from
    their fc7 features, weighs their logits pixel by pixel. The logits of each scale are auxiliary
    maps: extra supervision. Unlike the paper, which reads the weights on the grid of x1, they are
    read on the grid of x0.5 and then brought to that of x1: at x1 these two layers alone would
    cost half as much as a whole scale.
    """

    hierarchy: Hierarchy
    width: float
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, images: Float[Array, "b h w 3"], train: bool = False) -> ParserOutput:
        leaves = len(self.hierarchy.levels[0].nodes)
        vgg = VGG(True, self.width, self.dtype, name="vgg")
        classifier = Classifier(leaves, _LARGE_FOV, self.width, self.dtype, name="classifier")
        logits, features = [], []
        for scale in SCALES:
            size = tuple(scaled_side(side, scale) for side in images.shape[1:3])
            seen = resize(images, size).astype(self.dtype)
            scores, fc7 = classifier(max_pool(vgg(seen)[4], stride=1), train)
            logits.append(scores)
            features.append(fc7)
        coarse, fine = logits[-1].shape[1:3], logits[0].shape[1:3]
        x = jnp.concatenate([resize(f, coarse) for f in features], -1)
        x = Conv(scaled(512, self.width), 3, dtype=self.dtype, name="attention1")(x)
        x = nn.Dropout(0.5, deterministic=not train)(x)
        x = Conv(len(SCALES), 1, relu=False, dtype=self.dtype, name="attention2")(x)
        weights = jax.nn.softmax(resize(x.astype(jnp.float32), fine))
        fused = sum(
            weights[..., i : i + 1] * resize(scores, fine) for i, scores in enumerate(logits)
        )
        names = (f"scale{scale:g}" for scale in SCALES)
        return parts_alone(fused, dict(zip(names, logits, strict=True)))


def scaled_side(side: int, scale: float) -> int:
    """The side of an image at a smaller scale: 8 k + 1, so that the grids' corners coincide."""
    return side if scale == 1 else int((side - 1) * scale / 8) * 8 + 1
