"""VGG-16, plain and dilated: strides and parameters; its classifier, subsampled."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hparse_jax.config import ModelConfig
from hparse_jax.models.vgg import VGG, subsample

# torchvision's VGG-16 has 138,357,544 numbers; its three linear layers these
FC6, FC7, FC8 = (512 * 49 + 1) * 4096, 4097 * 4096, 4097 * 1000


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
    assert sum(x.size for x in jax.tree.leaves(variables)) == 138_357_544 - FC6 - FC7 - FC8


def test_the_classifiers_weights_are_there_and_change_no_block():
    config = ModelConfig(width=0.02, dtype="float32")
    images = jax.random.normal(jax.random.key(0), (1, 33, 47, 3))
    plain, whole = (VGG(config, round_down=True, classifier=c) for c in (False, True))
    variables = jax.jit(whole.init)(jax.random.key(0), images)
    jax.tree.map(
        np.testing.assert_array_equal,
        jax.jit(whole.apply)(variables, images),
        jax.jit(plain.apply)(variables, images),
    )
    full = VGG(ModelConfig(dtype="float32"), round_down=True, classifier=True)
    variables = jax.eval_shape(lambda: full.init(jax.random.key(0), images))
    assert sum(x.size for x in jax.tree.leaves(variables)) == 138_357_544 - FC8
    assert variables["params"]["fc6"]["kernel"].shape == (7, 7, 512, 4096)
    assert variables["params"]["fc7"]["kernel"].shape == (1, 1, 4096, 4096)


def test_fc6_keeps_every_third_tap_and_every_fourth_channel():
    x = np.random.default_rng(0).normal(size=(7, 7, 5, 16)).astype(np.float32)
    smaller = subsample(x, (3, 3, 5, 4))
    assert smaller.shape == (3, 3, 5, 4)
    for i, j, c, d in itertools.product(range(3), range(3), range(5), range(4)):
        assert smaller[i, j, c, d] == x[3 * i, 3 * j, c, 4 * d]
    np.testing.assert_array_equal(subsample(x, x.shape), x)
    assert subsample(x, (3, 3, 5, 5)).shape != (3, 3, 5, 5)  # no n takes 5 of 16
