"""DeepLab's networks: their layers, dropout, and the inputs of several scales."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import plain_networks
import pytest

from hparse_jax.config import ModelConfig
from hparse_jax.hierarchy import get_hierarchy
from hparse_jax.models import build_model
from hparse_jax.models.baselines.deeplab import input_side


@pytest.mark.parametrize("name", ["deeplab_largefov", "deeplab_v2", "attention"])
def test_every_layer_is_the_papers(assert_same_logits, name):
    assert_same_logits(name, getattr(plain_networks, name))


def test_one_word_makes_deeplab_v2_see_one_scale(assert_same_logits):
    plain = functools.partial(plain_networks.deeplab_v2, shares=(1.0,))
    assert_same_logits("deeplab_v2", plain, input_scales=(1.0,))


def test_attention_may_weigh_every_fourth_point(assert_same_logits):
    plain = functools.partial(plain_networks.attention, stride=4)
    assert_same_logits("attention", plain, attention_stride=4)


@pytest.mark.parametrize("name", ["deeplab_v2", "attention"])
def test_the_variables_do_not_depend_on_the_option(network, name):
    """Weights of runs from before these options load."""
    option = {"input_scales": (1.0,)} if name == "deeplab_v2" else {"attention_stride": 4}
    one, other = (network(name, (33, 33), **fields)[1] for fields in ({}, option))
    jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.mark.parametrize(
    ("name", "count"), [("deeplab_largefov", 2), ("deeplab_v2", 3 * 8), ("attention", 7)]
)
def test_training_drops_half_of_fc6_and_fc7_and_of_attention(assert_half_is_dropped, name, count):
    assert_half_is_dropped(name, count)


@pytest.mark.parametrize("name", ["deeplab_v2", "attention"])
@pytest.mark.parametrize(
    ("scales", "expected"),
    [
        ((1.0, 0.75, 0.5), {"scale1": (9, 13), "scale0.75": (7, 10), "scale0.5": (5, 7)}),
        ((0.5, 1.0), {"scale0.5": (5, 7), "scale1": (9, 13)}),
        ((0.5,), {}),
    ],
)
def test_every_scale_is_supervised_and_the_output_has_the_images_grid(name, scales, expected):
    config = ModelConfig(name=name, width=0.125, dtype="float32", input_scales=scales)
    model = build_model(config, get_hierarchy("lip"))
    images = jax.ShapeDtypeStruct((2, 65, 97, 3), jnp.float32)

    def maps(x):
        output, _ = model.init_with_output(jax.random.key(0), x)
        return output.levels[0].fused, output.auxiliary

    fused, auxiliary = jax.eval_shape(maps, images)
    assert {name: x.shape[1:3] for name, x in auxiliary.items()} == expected
    assert fused.shape == (2, 9, 13, 20)


@pytest.mark.parametrize(
    ("side", "scale", "expected"), [(321, 0.75, 241), (321, 0.5, 161), (32, 0.5, 9), (70, 1.0, 70)]
)
def test_the_side_of_a_smaller_input_is_8_k_plus_1(side, scale, expected):
    assert input_side(side, scale) == expected
