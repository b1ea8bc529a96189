"""config.model and a hierarchy -> the network."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from hparse_jax.config import ModelConfig
from hparse_jax.hierarchy import Hierarchy
from hparse_jax.models.bare import BareResNet, BareVGG
from hparse_jax.models.baselines.deeplab import Attention, DeepLabV2
from hparse_jax.models.baselines.fcn import FCN8s
from hparse_jax.models.baselines.segnet import SegNet
from hparse_jax.models.cnif import Parser
from hparse_jax.models.released import CNIFOfficial

_BASELINES = {"segnet": SegNet, "fcn8s": FCN8s, "deeplab_v2": DeepLabV2, "attention": Attention}


def build_model(config: ModelConfig, hierarchy: Hierarchy) -> nn.Module:
    """The linen module of `config.name`, for a hierarchy of any depth >= 1.

    Its attribute `hierarchy` holds the levels that it has: LIP's baselines know the leaves alone.
    """
    dtype = config.dtype
    if dtype == "auto":
        dtype = "float32" if jax.default_backend() == "cpu" else "bfloat16"
    if config.name in _BASELINES:
        return _BASELINES[config.name](
            hierarchy=config.hierarchy_of(hierarchy), width=config.width, dtype=jnp.dtype(dtype)
        )
    if config.name == "cnif_official":
        return CNIFOfficial(config.hierarchy_of(hierarchy), jnp.dtype(dtype))
    if config.name == "vgg16":
        return BareVGG(config.width, jnp.dtype(dtype))
    if config.name == "resnet":
        return BareResNet(
            config.depth,
            config.output_stride,
            config.stem,
            config.width,
            config.multi_grid,
            jnp.dtype(dtype),
        )
    return Parser(
        hierarchy=config.hierarchy_of(hierarchy),
        depth=config.depth,
        output_stride=config.output_stride,
        stem=config.stem,
        width=config.width,
        multi_grid=config.multi_grid,
        bottom_up=config.bottom_up,
        top_down=config.top_down,
        fusion=config.fusion,
        node_heads=config.node_heads,
        messages=config.messages,
        stop_gradient=config.stop_gradient,
        auxiliary=config.auxiliary,
        dtype=jnp.dtype(dtype),
    )
