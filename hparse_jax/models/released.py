"""The network whose weights CNIF's authors released: direct inference alone, on LIP.

Not the paper's model: no top-down or bottom-up inference, no gates, no fusion. Its outputs equal
those of the released one; in-place activated batch norms are ordinary ones after import.
"""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float

from hparse_jax.config import ModelConfig
from hparse_jax.hierarchy import Hierarchy
from hparse_jax.models.layers import Conv, ConvNorm
from hparse_jax.models.ops import pixel_mean, resize, without_padding
from hparse_jax.models.output import ParserOutput, direct_level
from hparse_jax.models.resnet import ResNet

_RATES = (12, 24, 36)
_SLOPE = 0.01  # of the leaky ReLU


class ReleasedCNIF(nn.Module):
    """Images [b, h, w, 3], BGR minus the mean -> ParserOutput.

    inside: see `CNIF`. Level 1 is at 1/4 of the image, levels 2 and 3 and the auxiliary map "aux"
    at 1/8.
    """

    config: ModelConfig
    hierarchy: Hierarchy

    def setup(self):
        self.resnet = ResNet(self.config, ceil_pool=True)
        self.context = Context(self.config.dtype)

    @nn.compact
    def __call__(
        self,
        images: Float[Array, "b h w 3"],
        train: bool = False,
        inside: Bool[Array, "b h w"] | None = None,
    ) -> ParserOutput:
        dtype = self.config.dtype
        blocks = self.resnet(images, train, inside)
        context = resize(self.context(blocks[3], train, inside), blocks[1].shape[1:3])
        context = without_padding(context, inside)
        parts, *coarse = (len(level.nodes) for level in self.hierarchy.levels)
        maps = [PartHead(parts, dtype, name="level1")(context, blocks, train, inside)]
        for level, nodes in enumerate(coarse, 2):
            head = CoarseHead(nodes, dtype, name=f"level{level}")(context, blocks[1], train, inside)
            maps.append(head)
        x = ConvNorm(512, bias=True, dtype=dtype, name="auxiliary")(blocks[2], train)
        logits = Conv(parts, 1, relu=False, dtype=dtype, name="auxiliary_logits")(x)
        return ParserOutput(tuple(map(direct_level, maps)), {"aux": logits.astype(jnp.float32)})


class Context(nn.Module):
    """1x1, three dilated 3x3 and the image mean, side by side, then two leaky projections."""

    dtype: str

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], train: bool, inside: Bool[Array, "b H W"] | None
    ) -> Float[Array, "b h w 512"]:
        def conv(x, kernel, name, dilation=1, relu=True):
            layer = ConvNorm(512, kernel, 1, dilation, relu, self.dtype, name=name)
            return layer(x, train)

        branches = [conv(x, 1, "branch0")]
        branches += [conv(x, 3, f"branch{i}", rate) for i, rate in enumerate(_RATES, 1)]
        mean = conv(pixel_mean(x, inside)[:, None, None, :], 1, "branch4")
        branches.append(jnp.broadcast_to(mean, branches[0].shape))
        x = conv(jnp.concatenate(branches, -1), 1, "project1", relu=False)
        x = without_padding(x, inside)
        x = conv(nn.leaky_relu(x, _SLOPE), 3, "project2", relu=False)
        return nn.leaky_relu(x, _SLOPE)


class PartHead(nn.Module):
    """Level 1: two 3x3 at 1/8, then at 1/4 beside a thin copy of block 1."""

    nodes: int
    dtype: str

    @nn.compact
    def __call__(
        self,
        context: Float[Array, "b h w c"],
        blocks: tuple[Float[Array, "b _ _ _"], ...],
        train: bool,
        inside: Bool[Array, "b H W"] | None,
    ) -> Float[Array, "b h2 w2 nodes"]:
        def conv(x, features, kernel, name):
            return ConvNorm(features, kernel, dtype=self.dtype, name=name)(x, train, inside)

        scale = self.param("skip_scale", nn.initializers.ones, (1,))
        x = context + scale * blocks[1]
        x = conv(conv(x, 512, 3, "conv0"), 256, 3, "conv1")
        fine = conv(blocks[0], 48, 1, "conv2")
        x = jnp.concatenate([resize(x, fine.shape[1:3]), fine], -1)
        x = conv(conv(x, 256, 1, "conv3"), 256, 1, "conv4")
        return Conv(self.nodes, 1, relu=False, dtype=self.dtype, name="logits")(x)


class CoarseHead(nn.Module):
    """Levels 2 and 3: 3x3, 1x1, squeeze and excitation (reduction 16), 1x1."""

    nodes: int
    dtype: str

    @nn.compact
    def __call__(
        self,
        context: Float[Array, "b h w c"],
        skip: Float[Array, "b h w c"],
        train: bool,
        inside: Bool[Array, "b H W"] | None,
    ) -> Float[Array, "b h w nodes"]:
        scale = self.param("skip_scale", nn.initializers.ones, (1,))
        x = context + scale * skip
        x = ConvNorm(256, 3, dtype=self.dtype, name="conv1")(x, train, inside)
        x = ConvNorm(256, 1, dtype=self.dtype, name="conv2")(x, train, inside)
        gate = nn.relu(nn.Dense(16, name="squeeze")(pixel_mean(x, inside)))
        gate = nn.sigmoid(nn.Dense(256, name="excite")(gate))
        x = x * gate[:, None, None, :].astype(x.dtype)
        return Conv(self.nodes, 1, relu=False, dtype=self.dtype, name="logits")(x)
