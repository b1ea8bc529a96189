"""SegNet (Badrinarayanan et al. 2017): VGG-16 and its mirror, which unpools where VGG pooled."""

from flax import linen as nn
from jaxtyping import Array, Float, Int

from hparse_jax.config import ModelConfig
from hparse_jax.hierarchy import Hierarchy
from hparse_jax.models.layers import Conv, ConvNorm, scaled
from hparse_jax.models.ops import max_pool_with_indices, max_unpool
from hparse_jax.models.output import ParserOutput, leaf_output
from hparse_jax.models.vgg import LAYERS


class SegNet(nn.Module):
    """Images [b, h, w, 3], normalised -> ParserOutput with leaf logits at the images' size.

    Every convolution but the last is followed by batch norm and ReLU, and has no bias of its own.
    SegNet's weights of rare classes in its loss are left out, as the loss here is one for all
    networks. The encoder's kernels have VGG's names and shapes: a trained VGG-16 can initialise it.
    """

    config: ModelConfig
    hierarchy: Hierarchy

    def setup(self):
        self.vgg = Encoder(self.config)
        self.decoder = Decoder(self.config, len(self.hierarchy.levels[0].nodes))

    def __call__(self, images: Float[Array, "b h w 3"], train: bool = False) -> ParserOutput:
        blocks, x, indices = self.vgg(images, train)
        sizes = [block.shape[1:3] for block in blocks]
        return leaf_output(self.decoder(x, indices, sizes, train))

    def features(self, images: Float[Array, "b h w 3"]) -> tuple[Float[Array, "b _ _ _"], ...]:
        """The outputs of the encoder's five blocks, before their pooling."""
        return self.vgg(images, False)[0]


class Encoder(nn.Module):
    """VGG-16's convolutions with batch norm: images -> (blocks, pooled, indices).

    The outputs of the five blocks, the last one pooled, and the pooling indices of each.
    """

    config: ModelConfig

    @nn.compact
    def __call__(
        self, images: Float[Array, "b h w 3"], train: bool
    ) -> tuple[
        tuple[Float[Array, "b _ _ _"], ...],
        Float[Array, "b h2 w2 c"],
        tuple[Int[Array, "b _ _ _"], ...],
    ]:
        x = images.astype(self.config.dtype)
        blocks, indices = [], []
        for block, (channels, layers) in enumerate(LAYERS, 1):
            features = scaled(channels, self.config.width)
            for layer in range(1, layers + 1):
                name = f"conv{block}_{layer}"
                x = ConvNorm(features, dtype=self.config.dtype, name=name)(x, train)
            blocks.append(x)
            x, index = max_pool_with_indices(x)
            indices.append(index)
        return tuple(blocks), x, tuple(indices)


class Decoder(nn.Module):
    """The encoder's mirror: block 5's pooled output -> leaf logits at the images' size.

    indices, sizes: pooling indices of the five blocks, and their sizes before pooling.
    """

    config: ModelConfig
    leaves: int

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b h2 w2 c"],
        indices: tuple[Int[Array, "b _ _ _"], ...],
        sizes: list[tuple[int, int]],
        train: bool,
    ) -> Float[Array, "b h w leaves"]:
        dtype = self.config.dtype
        for block in range(5, 0, -1):
            channels, layers = LAYERS[block - 1]
            below = LAYERS[max(0, block - 2)][0]
            x = max_unpool(x, indices[block - 1], sizes[block - 1])
            for layer in range(layers, 0, -1):
                if (block, layer) == (1, 1):
                    break
                # the last convolution of a block already has the channels of the next one
                features = scaled(channels if layer > 1 else below, self.config.width)
                x = ConvNorm(features, dtype=dtype, name=f"conv{block}_{layer}")(x, train)
        return Conv(self.leaves, relu=False, dtype=dtype, name="conv1_1")(x)
