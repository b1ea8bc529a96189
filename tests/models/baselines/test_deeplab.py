"""DeepLabV2 and Attention: their layers, dropout, and the inputs of several scales."""

import jax
import jax.numpy as jnp
import plain_networks
import pytest

from hparse_jax.config import ModelConfig
from hparse_jax.hierarchy import get_hierarchy
from hparse_jax.models import build_model
from hparse_jax.models.baselines.deeplab import input_side


@pytest.mark.parametrize("name", ["deeplab_v2", "attention"])
def test_every_layer_is_the_papers(assert_same_logits, name):
    assert_same_logits(name, getattr(plain_networks, name))


@pytest.mark.parametrize(("name", "count"), [("deeplab_v2", 8), ("attention", 7)])
def test_training_drops_half_of_fc6_and_fc7_and_of_attention(assert_half_is_dropped, name, count):
    assert_half_is_dropped(name, count)


def test_attention_supervises_every_scale():
    config = ModelConfig(name="attention", width=0.125, dtype="float32")
    model = build_model(config, get_hierarchy("lip"))
    images = jax.ShapeDtypeStruct((2, 65, 97, 3), jnp.float32)
    auxiliary = jax.eval_shape(
        lambda x: model.init_with_output(jax.random.key(0), x)[0].auxiliary, images
    )
    sizes = {name: x.shape[1:3] for name, x in auxiliary.items()}
    assert sizes == {"scale1": (9, 13), "scale0.75": (7, 10), "scale0.5": (5, 7)}


@pytest.mark.parametrize(
    ("side", "scale", "expected"), [(321, 0.75, 241), (321, 0.5, 161), (32, 0.5, 9), (70, 1.0, 70)]
)
def test_the_side_of_a_smaller_input_is_8_k_plus_1(side, scale, expected):
    assert input_side(side, scale) == expected
