"""LIP's four baselines: sizes, parameters, and the parts that are easy to get wrong."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hparse_jax.config import ModelConfig
from hparse_jax.hierarchy import get_hierarchy
from hparse_jax.models import build_model
from hparse_jax.models.baselines.fcn import _onto_corners
from hparse_jax.models.baselines.segnet import pool_with_places, unpool
from hparse_jax.models.vgg import VGG

LIP = get_hierarchy("lip")
NAMES = ("segnet", "fcn8s", "deeplab_v2", "attention")
C = 20
VGG_PARAMETERS = sum(
    9 * i * o + o
    for i, o in (
        *((3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 256)),
        *((256, 512), (512, 512), (512, 512), (512, 512), (512, 512), (512, 512)),
    )
)


def conv(i, o, k=3):
    return k * k * i * o + o


def norm_conv(i, o):
    return 9 * i * o + 2 * o  # no bias, batch norm's scale and bias


ENCODER = [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 256)]
ENCODER += [(256, 512)] + [(512, 512)] * 5
DECODER = [(512, 512)] * 5 + [(512, 256), (256, 256), (256, 256), (256, 128), (128, 128), (128, 64)]
PARAMETERS = {
    "segnet": sum(norm_conv(*pair) for pair in ENCODER + DECODER + [(64, 64)]) + conv(64, C),
    "fcn8s": VGG_PARAMETERS
    + conv(512, 4096, 7)
    + conv(4096, 4096, 1)
    + sum(conv(i, C, 1) for i in (256, 512, 4096))
    + 2 * 16 * C * C,
    "deeplab_v2": VGG_PARAMETERS + 4 * (conv(512, 1024) + conv(1024, 1024, 1) + conv(1024, C, 1)),
    "attention": VGG_PARAMETERS
    + conv(512, 1024)
    + conv(1024, 1024, 1)
    + conv(1024, C, 1)
    + conv(3 * 1024, 512)
    + conv(512, 3, 1),
}


def shapes(name, side=(65, 49), width=1.0):
    model = build_model(ModelConfig(name=name, width=width, dtype="float32"), LIP)
    images = jax.ShapeDtypeStruct((2, *side, 3), jnp.float32)

    def both(x):
        output, variables = model.init_with_output(jax.random.key(0), x)
        (level,) = output.levels
        return level.fused, level.direct, output.auxiliary or {}, variables["params"]

    return jax.eval_shape(both, images)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_at_full_width(name):
    params = shapes(name)[3]
    assert sum(x.size for x in jax.tree.leaves(params)) == PARAMETERS[name]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("side", [(65, 49), (70, 51), (33, 97)])
def test_leaf_logits_alone_on_a_grid_of_the_image(name, side):
    fused, direct, _, _ = shapes(name, side, 0.125)
    stride = 1 if name == "segnet" else 8
    expected = (2, -(-side[0] // stride), -(-side[1] // stride), C)
    assert fused.shape == direct.shape == expected
    assert fused.dtype == jnp.float32


def test_attention_supervises_every_scale():
    auxiliary = shapes("attention", (65, 97), 0.125)[2]
    sizes = {name: x.shape[1:3] for name, x in auxiliary.items()}
    assert sizes == {"scale1": (9, 13), "scale0.75": (7, 10), "scale0.5": (5, 7)}


def test_fcns_weights_double_a_map_bilinearly_at_the_start():
    from hparse_jax.models.baselines.fcn import Double

    x = jnp.arange(5.0)[None, None, :, None] + jnp.zeros((1, 4, 1, 2))
    module = Double()
    doubled = module.apply(module.init(jax.random.key(0), x, (8, 10)), x, (8, 10))
    # middles of halved pixels: -0.25, 0.25, 0.75, ...; edges fade to zero
    np.testing.assert_allclose(doubled[0, 3, 1:9, 1], np.arange(8) * 0.5 + 0.25, atol=1e-6)


def test_fcns_scores_move_from_middles_to_corners():
    """A ramp over pixels, averaged over 8 x 8 blocks, gives its values at every 8th pixel."""
    ramp = np.arange(64.0, dtype=np.float32)
    blocks = jnp.asarray(ramp.reshape(8, 8).mean(1))[None, :, None, None] + jnp.zeros((1, 8, 8, 1))
    moved = np.asarray(_onto_corners(blocks, (64, 64)))[0, :, 0, 0]
    np.testing.assert_allclose(moved[1:], ramp[8::8], atol=1e-5)


@pytest.mark.parametrize("size", [(6, 8), (5, 7), (1, 3)])
def test_unpooled_values_lie_where_the_maxima_were(size):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, *size, 3)).astype(np.float32)
    pooled, places = pool_with_places(jnp.asarray(x))
    values = rng.normal(size=pooled.shape).astype(np.float32)
    spread = np.asarray(unpool(jnp.asarray(values), places, size))
    expected = np.zeros_like(x)
    for b, i, j, c in np.ndindex(pooled.shape):
        window = x[b, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2, c]
        y, z = np.unravel_index(window.argmax(), window.shape)
        assert pooled[b, i, j, c] == window.max()
        expected[b, 2 * i + y, 2 * j + z, c] = values[b, i, j, c]
    np.testing.assert_array_equal(spread, expected)


def test_equal_values_of_a_window_go_back_to_one_place():
    _, places = pool_with_places(jnp.zeros((1, 2, 2, 1)))
    spread = unpool(jnp.ones((1, 1, 1, 1)), places, (2, 2))
    assert float(spread.sum()) == 1.0


@pytest.mark.parametrize("atrous", [False, True])
def test_vggs_blocks_have_their_strides_and_dilation(atrous):
    vgg = VGG(ModelConfig(width=0.1, dtype="float32"), atrous)
    images = jax.ShapeDtypeStruct((1, 65, 65, 3), jnp.float32)
    blocks, variables = jax.eval_shape(lambda x: vgg.init_with_output(jax.random.key(0), x), images)
    sides = [x.shape[1] for x in blocks]
    assert sides == ([65, 33, 17, 9, 9] if atrous else [65, 33, 17, 9, 5])
    # block 5 alone: three 3x3 convolutions
    ones = jax.tree.map(lambda x: jnp.ones(x.shape), variables)
    jaxpr = str(jax.make_jaxpr(vgg.apply)(ones, jnp.ones((1, 65, 65, 3))))
    assert jaxpr.count("rhs_dilation=(2, 2)") == (3 if atrous else 0)
