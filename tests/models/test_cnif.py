"""CNIF: its equations in NumPy, and what the config and the hierarchy decide."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from plain_cnif import reference
from random_variables import random_variables

import hparse_jax
from hparse_jax.config import ModelConfig
from hparse_jax.hierarchy import Hierarchy, Level
from hparse_jax.models import build_model
from hparse_jax.models.cnif import CNIF
from hparse_jax.models.context import ImageEmbedding
from hparse_jax.models.fusion import FusionNetwork, StaticFusion

LIP = hparse_jax.get_hierarchy("lip")
TINY = ModelConfig(depth=18, width=0.125, dtype="float32")
FOUR_LEVELS = Hierarchy(
    name="four",
    levels=(
        Level("parts", ("background", "hat", "face", "shirt", "arm", "shoe"), (0, 1, 1, 2, 2, 3)),
        Level("groups", ("background", "head", "torso", "feet"), (0, 1, 1, 2)),
        Level("halves", ("background", "upper", "lower"), (0, 1, 1)),
        Level("body", ("background", "person"), ()),
    ),
    palette=tuple((i, i, i) for i in range(6)),
)


class Pixels(nn.Module):
    """The images' own pixels instead of the blocks of a ResNet, which would be compiled."""

    def __call__(self, images, train, inside):
        strides_and_copies = ((4, 2), (8, 6), (16, 8), (16, 8))
        return tuple(
            jnp.tile(images[:, ::stride, ::stride], copies) for stride, copies in strides_and_copies
        )


class WithoutBackbone(CNIF):
    def setup(self):
        self.resnet = Pixels()
        self.embedding = ImageEmbedding(self.config)


@pytest.mark.parametrize(
    ("hierarchy", "node_heads", "messages", "batch"),
    [
        (hparse_jax.get_hierarchy("atr"), "per_node", "logits", 1),
        (hparse_jax.get_hierarchy("atr"), "shared", "probabilities", 2),
        (FOUR_LEVELS, "per_node", "probabilities", 2),
        (FOUR_LEVELS, "shared", "logits", 1),
    ],
    ids=["atr-own-logits", "atr-shared-probabilities", "four-own-probabilities", "four-shared"],
)
def test_every_map_and_gate_follows_the_equations(hierarchy, node_heads, messages, batch):
    config = dataclasses.replace(TINY, node_heads=node_heads, messages=messages)
    model = WithoutBackbone(config, hierarchy)
    images = jax.random.normal(jax.random.key(0), (batch, 33, 41, 3))
    variables = random_variables(model, images)
    apply = jax.jit(lambda v, x: model.apply(v, x, capture_intermediates=True))
    output, captured = apply(variables, images)
    intermediates = captured["intermediates"]
    level_maps = [
        np.asarray(intermediates[f"{level.name}_embedding"]["__call__"][0], np.float64)
        for level in hierarchy.levels
    ]
    double = jax.tree.map(lambda x: np.asarray(x, np.float64), variables)
    expected = reference(hierarchy, double["params"], double["batch_stats"], level_maps, messages)
    for level, (maps, fused, gates) in zip(output.levels, expected, strict=True):
        for source in ("direct", "top_down", "bottom_up"):
            actual = getattr(level, source)
            if source not in maps:
                assert actual is None
                continue
            scale = np.abs(maps[source]).max()
            np.testing.assert_allclose(actual, maps[source], atol=1e-4 * scale)
            np.testing.assert_allclose(level.gates[source], gates[source], atol=1e-5)
        np.testing.assert_allclose(level.fused, fused, atol=1e-4 * np.abs(fused).max())
    assert jnp.isfinite(output.levels[0].fused).all()


@pytest.mark.parametrize(
    ("fusion", "module"),
    [
        ("unconditional", FusionNetwork(shared=False, hidden=16)),
        ("product_of_experts", StaticFusion("product_of_experts")),
        ("bayesian", StaticFusion("bayesian")),
        ("ensemble", StaticFusion("ensemble")),
    ],
)
def test_the_sources_of_a_level_are_fused_as_the_config_says(fusion, module):
    """`test_fusion.py` has the modules by hand."""
    model = WithoutBackbone(dataclasses.replace(TINY, fusion=fusion), FOUR_LEVELS)
    images = jax.random.normal(jax.random.key(0), (1, 33, 41, 3))
    variables = random_variables(model, images)
    apply = jax.jit(lambda v, x: model.apply(v, x, capture_intermediates=True))
    output, captured = apply(variables, images)
    for level, maps in zip(FOUR_LEVELS.levels, output.levels, strict=True):
        sources = {s: getattr(maps, s) for s in ("direct", "top_down", "bottom_up")}
        sources = {source: logits for source, logits in sources.items() if logits is not None}
        own = {"params": variables["params"].get(f"{level.name}_fusion", {})}
        level_map = captured["intermediates"][f"{level.name}_embedding"]["__call__"][0]
        more = {} if fusion == "unconditional" else level_map.mean((1, 2))
        expected = module.apply(own, sources, more)
        np.testing.assert_allclose(maps.fused, expected, atol=1e-5 * np.abs(expected).max())
        assert maps.gates == {}


@pytest.mark.parametrize(
    "switches",
    [
        {"stem": "conv7", "messages": "probabilities"},
        {
            "name": "cnif_official",
            "depth": 50,
            "output_stride": 8,
            "multi_grid": True,
            "width": 1.0,
        },
    ],
    ids=["cnif", "released"],
)
def test_padding_has_no_influence_on_a_photo(switches):
    """Two photos in larger images get the logits and gates that they have alone."""
    config = dataclasses.replace(TINY, **switches)
    model = build_model(config, LIP)
    photos = jax.random.normal(jax.random.key(0), (2, 65, 49, 3))
    variables = random_variables(model, photos)
    padded = jnp.pad(photos, ((0, 0), (0, 64), (0, 32), (0, 0)))
    inside = jnp.zeros(padded.shape[:3], bool).at[:, :65, :49].set(True)
    apply = jax.jit(lambda v, x, inside: model.apply(v, x, inside=inside))
    alone, together = apply(variables, photos, None), apply(variables, padded, inside)
    for level, expected in zip(together.levels, alone.levels, strict=True):
        rows, columns = expected.fused.shape[1:3]
        scale = np.abs(expected.fused).max()
        shown = level.fused[:, :rows, :columns]
        np.testing.assert_allclose(shown, expected.fused, atol=1e-5 * scale)
        for source, gate in expected.gates.items():
            np.testing.assert_allclose(level.gates[source], gate, atol=1e-5)


def shapes_of(config, hierarchy=LIP, size=(97, 65)):
    """Output and variables as shapes: nothing is computed."""
    model = build_model(config, hierarchy)
    images = jax.ShapeDtypeStruct((2, *size, 3), jnp.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), images)

    def apply(variables, images):
        output = model.apply(variables, images)
        return [vars(level) for level in output.levels], output.auxiliary

    return *jax.eval_shape(apply, variables, images), variables


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
    model = WithoutBackbone(TINY, LIP)
    images = jax.random.normal(jax.random.key(0), (2, 33, 33, 3))
    output = jax.jit(model.apply)(random_variables(model, images), images)
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
