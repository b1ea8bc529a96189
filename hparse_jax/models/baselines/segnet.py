"""SegNet (Badrinarayanan et al. 2017): VGG-16 and its mirror, which unpools where VGG pooled."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int

from hparse_jax.config import ModelConfig
from hparse_jax.hierarchy import Hierarchy
from hparse_jax.models.layers import ConvNorm
from hparse_jax.models.output import ParserOutput, parts_alone
from hparse_jax.models.vgg import LAYERS, Conv, pairs, scaled


class SegNet(nn.Module):
    """Images [b, h, w, 3], normalised -> ParserOutput with leaf logits at the images' size.

    Every convolution but the last is followed by batch norm and ReLU, and has no bias of its own.
    SegNet's weights of rare classes in its loss are left out, as the loss here is one for all
    networks. The encoder's kernels have VGG's names and shapes: a trained VGG-16 can start it.
    """

    config: ModelConfig
    hierarchy: Hierarchy

    def setup(self):
        self.vgg = Encoder(self.config.width, self.config.dtype)
        self.decoder = Decoder(
            len(self.hierarchy.levels[0].nodes), self.config.width, self.config.dtype
        )

    def __call__(self, images: Float[Array, "b h w 3"], train: bool = False) -> ParserOutput:
        blocks, x, places = self.vgg(images.astype(self.config.dtype), train)
        sizes = [block.shape[1:3] for block in blocks]
        return parts_alone(self.decoder(x, places, sizes, train))

    def features(self, images: Float[Array, "b h w 3"]) -> tuple[Float[Array, "b _ _ _"], ...]:
        """The outputs of the encoder's five blocks, before their pooling."""
        return self.vgg(images.astype(self.config.dtype), False)[0]


class Encoder(nn.Module):
    """VGG-16's convolutions with batch norm: images -> (blocks, pooled, places).

    The outputs of the five blocks, the last one pooled, and where the maxima of each lay.
    """

    width: float
    dtype: str

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w 3"], train: bool
    ) -> tuple[
        tuple[Float[Array, "b _ _ _"], ...],
        Float[Array, "b h2 w2 c"],
        tuple[Int[Array, "b _ _ _"], ...],
    ]:
        blocks, places = [], []
        for block, (channels, layers) in enumerate(LAYERS, 1):
            features = scaled(channels, self.width)
            for layer in range(1, layers + 1):
                name = f"conv{block}_{layer}"
                x = ConvNorm(features, dtype=self.dtype, name=name)(x, train)
            blocks.append(x)
            x, place = pool_with_places(x)
            places.append(place)
        return tuple(blocks), x, tuple(places)


class Decoder(nn.Module):
    """The encoder's mirror: block 5's pooled output -> leaf logits at the images' size.

    places, sizes: of the five blocks, places of the maxima and sides before pooling.
    """

    leaves: int
    width: float
    dtype: str

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b h2 w2 c"],
        places: tuple[Int[Array, "b _ _ _"], ...],
        sizes: list[tuple[int, int]],
        train: bool,
    ) -> Float[Array, "b h w leaves"]:
        for block in range(5, 0, -1):
            channels, layers = LAYERS[block - 1]
            below = LAYERS[max(0, block - 2)][0]
            x = unpool(x, places[block - 1], sizes[block - 1])
            for layer in range(layers, 0, -1):
                if (block, layer) == (1, 1):
                    break
                # the last convolution of a block already has the channels of the next one
                features = scaled(channels if layer > 1 else below, self.width)
                x = ConvNorm(features, dtype=self.dtype, name=f"conv{block}_{layer}")(x, train)
        return Conv(self.leaves, relu=False, dtype=self.dtype, name="conv1_1")(x)


def pool_with_places(
    x: Float[Array, "b h w c"],
) -> tuple[Float[Array, "b h2 w2 c"], Int[Array, "b h2 w2 c"]]:
    """2x2 maxima, and which of the four values (by rows) each was; the first one of equals."""
    windows = pairs(x, -jnp.inf)
    return windows.max(3), windows.argmax(3)


def unpool(
    x: Float[Array, "b h2 w2 c"], places: Int[Array, "b h2 w2 c"], size: tuple[int, int]
) -> Float[Array, "b h w c"]:
    """Every value goes back to its place in its 2x2 window, zeros elsewhere; cut to `size`."""
    b, h, w, c = x.shape
    spread = x[:, :, :, None] * jax.nn.one_hot(places, 4, dtype=x.dtype, axis=3)
    spread = spread.reshape(b, h, w, 2, 2, c).transpose(0, 1, 3, 2, 4, 5)
    return spread.reshape(b, 2 * h, 2 * w, c)[:, : size[0], : size[1]]
