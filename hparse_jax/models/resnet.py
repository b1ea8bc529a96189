"""Dilated ResNet-18, 34, 50 and 101 (He et al. 2016), with the 7x7 or the deep stem."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float

from hparse_jax.config import ModelConfig
from hparse_jax.models.layers import ConvNorm, scale_channels
from hparse_jax.models.ops import max_pool, without_padding

UNITS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}  # per block
_VARIABLES = ("params", "batch_stats")
STEMS = {  # (channels, kernel, stride) of each convolution
    "deep": ((64, 3, 2), (64, 3, 1), (128, 3, 1)),
    "conv7": ((64, 7, 2),),
}


class Residual(nn.Module):
    """One residual unit: basic (two 3x3) or bottleneck (1x1, 3x3, 1x1; the 3x3 strides).

    channels: of the 3x3 convolutions; a bottleneck returns four times as many. drop_path: the
    probability that training skips the convolutions of the unit for an image, which the others make
    up for (stochastic depth, Huang et al. 2016).
    """

    channels: int
    bottleneck: bool
    stride: int
    dilation: int
    dtype: str
    drop_path: float = 0.0

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], train: bool, inside: Bool[Array, "b H W"] | None
    ) -> Float[Array, "b h2 w2 c2"]:
        def conv(features, kernel, name, stride=1, relu=True):
            dilation = self.dilation if kernel == 3 else 1
            return ConvNorm(features, kernel, stride, dilation, relu, self.dtype, name=name)

        features = self.channels * (4 if self.bottleneck else 1)
        if self.bottleneck:
            y = conv(self.channels, 1, "conv1")(x, train, inside)
            y = conv(self.channels, 3, "conv2", self.stride)(y, train)
            y = conv(features, 1, "conv3", relu=False)(y, train)
        else:
            y = conv(features, 3, "conv1", self.stride)(x, train, inside)
            y = conv(features, 3, "conv2", relu=False)(y, train)
        if x.shape != y.shape:
            x = conv(features, 1, "shortcut", self.stride, relu=False)(x, train)
        if train and self.drop_path:
            kept = 1.0 - self.drop_path
            stays = jax.random.bernoulli(self.make_rng("dropout"), kept, (len(y), 1, 1, 1))
            y = y * (stays / kept).astype(y.dtype)
        x = nn.relu(x + y)
        # a 1x1 convolution, as a bottleneck begins with, mixes no pixels
        return x if self.bottleneck else without_padding(x, inside)


class ResNet(nn.Module):
    """Images -> the outputs of the four blocks, at strides 4, 8, 8 or 16, and output_stride.

    Strides beyond the output stride become dilations. With multi_grid the dilation doubles from
    one residual unit of block 4 to the next: 2, 4, 8 at stride 16; 4, 8, 16 at stride 8.
    ceil_pool: see `max_pool`; some released networks pool like this. inside: the photos within
    the images (see `without_padding`).
    """

    config: ModelConfig
    ceil_pool: bool = False

    @nn.compact
    def __call__(
        self,
        images: Float[Array, "b h w 3"],
        train: bool = False,
        inside: Bool[Array, "b h w"] | None = None,
    ) -> tuple[Float[Array, "b _ _ _"], ...]:
        config = self.config
        x = images.astype(config.dtype)
        for number, (channels, kernel, stride) in enumerate(STEMS[config.stem], 1):
            features, name = scale_channels(channels, config.width), f"stem{number}"
            layer = ConvNorm(features, kernel, stride, dtype=config.dtype, name=name)
            x = layer(x, train, inside)
        x = without_padding(max_pool(x, ceil=self.ceil_pool), inside)

        # A unit is computed again from its input, or what it computed is kept, for its gradient.
        kind = nn.remat(Residual, static_argnums=(2,)) if config.remat else Residual
        strides = (1, 2, 2, 1) if config.output_stride == 16 else (1, 2, 1, 1)
        dilations = (1, 1, 1, 2) if config.output_stride == 16 else (1, 1, 2, 4)
        outputs, total = [], sum(UNITS[config.depth])
        for block, units in enumerate(UNITS[config.depth]):
            grid, before = config.multi_grid and block == 3, sum(UNITS[config.depth][:block])
            names = [f"block{block + 1}_{unit}" for unit in range(units)]
            # All but the first unit are alike, unless their dilations or their chances differ.
            alike = not grid and not (train and config.drop_path) and units > 2
            looped = names[1:] if alike and config.scan == "on" else []
            for unit, name in enumerate(names):
                settings = {
                    "channels": scale_channels(64 * 2**block, config.width),
                    "bottleneck": config.depth >= 50,
                    "stride": strides[block] if unit == 0 else 1,
                    "dilation": dilations[block] * (2**unit if grid else 1),
                    "dtype": config.dtype,
                    "drop_path": config.drop_path * (before + unit + 1) / total,
                }
                if name in looped and not self.is_initializing():
                    x = self._loop(Residual(**settings, parent=None), looped, x, train, inside)
                    break
                x = kind(**settings, name=name)(x, train, inside)
            x = without_padding(x, inside)
            outputs.append(x)
        return tuple(outputs)

    def _loop(self, unit, names, x, train, inside):
        """The units of these names, which differ in their weights alone, one after the other."""
        each = [{kind: self.get_variable(kind, name) for kind in _VARIABLES} for name in names]

        def step(x, variables):
            if not train:
                return unit.apply(variables, x, False, inside), None
            x, updated = unit.apply(variables, x, True, inside, mutable=["batch_stats"])
            return x, updated["batch_stats"]

        stacked = jax.tree.map(lambda *arrays: jnp.stack(arrays), *each)
        x, statistics = jax.lax.scan(
            jax.checkpoint(step) if self.config.remat else step, x, stacked
        )
        if train:
            for i, name in enumerate(names):
                own = jax.tree.map(lambda s, i=i: s[i], statistics)
                self.put_variable("batch_stats", name, own)
        return x
