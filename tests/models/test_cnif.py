"""The parts of the network that the config and the hierarchy decide."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hparse_jax
from hparse_jax.config import ModelConfig
from hparse_jax.models import build_model
from hparse_jax.models.build import initial_variables

LIP = hparse_jax.get_hierarchy("lip")
TINY = ModelConfig(depth=18, width=0.125, dtype="float32")


def shapes_of(config, hierarchy=LIP, size=(97, 65)):
    """Output and variables as shapes: nothing is computed."""
    model = build_model(config, hierarchy)
    images = jax.ShapeDtypeStruct((2, *size, 3), jnp.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), images)

    def apply(variables, images):
        output = model.apply(variables, images)
        return [vars(level) for level in output.levels], output.auxiliary

    return *jax.eval_shape(apply, variables, images), variables


def parameters(variables):
    return sum(x.size for x in jax.tree.leaves(variables["params"]))


@pytest.mark.parametrize(("depth", "width"), [(18, 512), (50, 2048), (101, 2048)])
@pytest.mark.parametrize(("stem", "stride", "last"), [("deep", 8, (13, 9)), ("conv7", 16, (7, 5))])
def test_strides_and_widths_of_the_blocks(stem, depth, width, stride, last):
    model = build_model(ModelConfig(depth=depth, stem=stem, output_stride=stride), LIP)
    images = jax.ShapeDtypeStruct((1, 97, 65, 3), jnp.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), images)
    blocks = jax.eval_shape(lambda v, x: model.apply(v, x, method="features"), variables, images)
    sides = [(25, 17), (13, 9), last, last]
    assert [b.shape[1:3] for b in blocks] == sides
    assert [b.shape[3] for b in blocks] == [width // 8, width // 4, width // 2, width]


@pytest.mark.parametrize(
    ("depth", "published"), [(18, 11_689_512), (50, 25_557_032), (101, 44_549_160)]
)
def test_the_backbone_has_the_published_number_of_parameters(depth, published):
    """torchvision's ResNets, whose last layer has width * 1000 + 1000 of them."""
    *_, variables = shapes_of(ModelConfig(depth=depth, stem="conv7"))
    classifier = 1000 * (512 if depth == 18 else 2048) + 1000
    resnet = {"params": variables["params"]["resnet"]}
    assert parameters(resnet) == published - classifier


SWITCHES = {
    "backbone": {"hierarchy": False},
    "direct": {"bottom_up": False, "top_down": False},
    "bottom-up": {"top_down": False, "fusion": "unconditional"},
    "top-down": {"bottom_up": False, "fusion": "unconditional"},
    "both": {"fusion": "unconditional"},
    "full": {},
    "product_of_experts": {"fusion": "product_of_experts"},
    "bayesian": {"fusion": "bayesian"},
    "ensemble": {"fusion": "ensemble"},
}


@pytest.mark.parametrize("row", SWITCHES)
def test_each_row_of_table_6_has_its_sources_and_gates(row):
    switches = SWITCHES[row]
    levels, *_ = shapes_of(dataclasses.replace(TINY, **switches))
    nodes = [20] if row == "backbone" else [20, 3, 2]
    assert [level["fused"].shape[-1] for level in levels] == nodes
    for depth, level in enumerate(levels):
        down = switches.get("top_down", True) and depth + 1 < len(nodes)
        up = switches.get("bottom_up", True) and depth > 0
        assert (level["top_down"] is not None, level["bottom_up"] is not None) == (down, up)
        gated = {"direct", *["top_down"] * down, *["bottom_up"] * up} if row == "full" else set()
        assert set(level["gates"]) == gated
        for source in (level[name] for name in ("direct", "top_down", "bottom_up", "fused")):
            assert source is None or source.shape[:3] == (2, 13, 9)
            assert source is None or source.dtype == jnp.float32


def test_background_has_direct_inference_only():
    model = build_model(TINY, LIP)
    images = jax.random.normal(jax.random.key(0), (2, 33, 33, 3))
    variables = jax.jit(initial_variables, static_argnums=(0, 1))(model, 0)
    output = jax.jit(model.apply)(variables, images)
    for level in output.levels:
        for source in (level.top_down, level.bottom_up):
            if source is not None:
                np.testing.assert_array_equal(source[..., 0], level.direct[..., 0])


def test_weights_grow_with_the_nodes_but_no_map_of_the_embedding_is_kept_for_each():
    """The largest array of a step stays far below nodes x embedding channels x pixels."""
    config = ModelConfig(depth=50, dtype="float32")
    model = build_model(config, LIP)
    images = jax.ShapeDtypeStruct((2, 257, 257, 3), jnp.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), images)
    embedded = 2 * 33 * 33 * 512
    jaxpr = jax.make_jaxpr(model.apply)(variables, images)
    sizes = [v.aval.size for e in jaxpr.eqns for v in e.outvars if v.aval.shape[1:3] == (33, 33)]
    assert embedded in sizes
    assert max(sizes) <= 3 * embedded  # three shifts of the level's map, shared by all nodes


def test_the_auxiliary_head_is_optional():
    assert shapes_of(TINY)[1] == {}
    _, auxiliary, _ = shapes_of(dataclasses.replace(TINY, auxiliary=True))
    assert {name: maps.shape for name, maps in auxiliary.items()} == {"auxiliary": (2, 7, 5, 20)}
