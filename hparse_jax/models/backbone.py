"""The image embedding h_I (CNIF Eq. 8): ResNet, ASPP, and the finer features of block 2."""

from flax import linen as nn
from jaxtyping import Array, Float

from hparse_jax.config import ModelConfig
from hparse_jax.models.context import ASPP
from hparse_jax.models.layers import resize


class ImageEmbedding(nn.Module):
    """Block outputs of the ResNet -> h_I at stride 8 (section 3.4, "Backbone Network").

    The context is compressed to the channels of block 2 (512 for ResNet-101), brought to its
    size, and added to it. Widths follow the depth: ASPP branches have half of those channels.
    """

    config: ModelConfig

    @nn.compact
    def __call__(
        self, blocks: tuple[Float[Array, "b _ _ _"], ...], train: bool = False
    ) -> Float[Array, "b h w c"]:
        fine = blocks[1]
        channels = fine.shape[-1]
        rates = (6, 12, 18) if self.config.output_stride == 16 else (12, 24, 36)
        context = ASPP(channels // 2, channels, rates, self.config.dtype, name="aspp")(
            blocks[3], train
        )
        return resize(context, fine.shape[1:3]) + fine
