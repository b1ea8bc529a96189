"""Backbones by themselves: where imported weights live until `config.init_from` takes them."""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from hparse_jax.models.resnet import ResNet
from hparse_jax.models.vgg import VGG


class BareResNet(nn.Module):
    """Images [b, h, w, 3], normalised -> the outputs of the four blocks."""

    depth: int
    output_stride: int
    stem: str
    width: float
    multi_grid: bool
    dtype: jnp.dtype

    def setup(self):
        self.resnet = ResNet(
            self.depth, self.output_stride, self.stem, self.width, self.multi_grid, self.dtype
        )

    def __call__(
        self, images: Float[Array, "b h w 3"], train: bool = False
    ) -> tuple[Float[Array, "b _ _ _"], ...]:
        return self.resnet(images.astype(self.dtype), train)

    features = __call__


class BareVGG(nn.Module):
    """Images [b, h, w, 3], normalised -> the outputs of the five blocks, before their pooling."""

    width: float
    dtype: jnp.dtype

    def setup(self):
        self.vgg = VGG(False, self.width, self.dtype, round_down=True)

    def __call__(
        self, images: Float[Array, "b h w 3"], train: bool = False
    ) -> tuple[Float[Array, "b _ _ _"], ...]:
        return self.vgg(images.astype(self.dtype))

    features = __call__
