"""VGG-16, plain and dilated: strides and parameters."""

import jax
import jax.numpy as jnp
import pytest

from hparse_jax.config import ModelConfig
from hparse_jax.models.vgg import VGG


@pytest.mark.parametrize("atrous", [False, True])
def test_vggs_blocks_have_their_strides_and_dilation(atrous):
    vgg = VGG(ModelConfig(width=0.1, dtype="float32"), atrous)
    images = jax.ShapeDtypeStruct((1, 65, 65, 3), jnp.float32)
    blocks, variables = jax.eval_shape(lambda x: vgg.init_with_output(jax.random.key(0), x), images)
    sides = [x.shape[1] for x in blocks]
    assert sides == ([65, 33, 17, 9, 9] if atrous else [65, 33, 17, 9, 5])
    # block 5 alone: three 3x3 convolutions
    jaxpr = str(jax.make_jaxpr(vgg.apply)(variables, images))
    assert jaxpr.count("rhs_dilation=(2, 2)") == (3 if atrous else 0)


def test_the_backbone_rounds_odd_sides_down_and_has_torchvisions_parameters():
    backbone = VGG(ModelConfig(dtype="float32"), round_down=True)
    images = jax.ShapeDtypeStruct((1, 65, 47, 3), jnp.float32)
    blocks, variables = jax.eval_shape(
        lambda x: backbone.init_with_output(jax.random.key(0), x), images
    )
    assert [x.shape[1:] for x in blocks] == [
        (65, 47, 64),
        (32, 23, 128),
        (16, 11, 256),
        (8, 5, 512),
        (4, 2, 512),
    ]
    # torchvision's VGG-16 without its three linear layers
    classifier = (512 * 49 + 1) * 4096 + 4097 * 4096 + 4097 * 1000
    assert sum(x.size for x in jax.tree.leaves(variables)) == 138_357_544 - classifier
