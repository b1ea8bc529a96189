"""SegNet (Badrinarayanan et al. 2017): VGG-16 and its mirror, which unpools where VGG pooled."""

from flax import linen as nn
from jaxtyping import Array, Bool, Float

from hparse_jax.config import ModelConfig
from hparse_jax.hierarchy import Hierarchy
from hparse_jax.models.layers import Conv, ConvNorm, scale_channels
from hparse_jax.models.ops import max_pool_with_indices, max_unpool
from hparse_jax.models.output import ParserOutput, leaf_output
from hparse_jax.models.vgg import LAYERS, VGG


class SegNet(nn.Module):
    """Images [b, h, w, 3], normalised -> ParserOutput with leaf logits at the images' size.

    Every convolution but the last is followed by batch norm and ReLU, and has no bias of its own.
    The class weights of SegNet's loss are those of config.loss.class_weights=median_frequency, off
    by default. The encoder's kernels have VGG's names and shapes: a trained VGG-16 can initialise
    it.
    """

    config: ModelConfig
    hierarchy: Hierarchy

    def setup(self):
        self.vgg = VGG(self.config, norm=True)
        self.decoder = Decoder(self.config, len(self.hierarchy.levels[0].nodes))

    def __call__(
        self,
        images: Float[Array, "b h w 3"],
        train: bool = False,
        inside: Bool[Array, "b h w"] | None = None,
    ) -> ParserOutput:
        return leaf_output(self.decoder(self.vgg(images, train), train))


class Decoder(nn.Module):
    """The encoder's mirror: its blocks' outputs -> leaf logits at the images' size.

    Reads of blocks 1 to 4 the pooling indices alone, of block 5 the pooled values too.
    """

    config: ModelConfig
    leaves: int

    @nn.compact
    def __call__(
        self, blocks: tuple[Float[Array, "b _ _ _"], ...], train: bool
    ) -> Float[Array, "b h w leaves"]:
        dtype = self.config.dtype
        pooled, indices = zip(*map(max_pool_with_indices, blocks), strict=True)
        x = pooled[-1]
        for block in range(5, 0, -1):
            channels, layers = LAYERS[block - 1]
            below = LAYERS[max(0, block - 2)][0]
            x = max_unpool(x, indices[block - 1], blocks[block - 1].shape[1:3])
            for layer in range(layers, 0, -1):
                if (block, layer) == (1, 1):
                    break
                # the last convolution of a block already has the channels of the next one
                features = scale_channels(channels if layer > 1 else below, self.config.width)
                x = ConvNorm(features, dtype=dtype, name=f"conv{block}_{layer}")(x, train)
        return Conv(self.leaves, relu=False, dtype=dtype, name="conv1_1")(x)
