"""ResNets: strides, widths, dilations and parameters."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from hparse_jax.config import ModelConfig
from hparse_jax.models.resnet import Residual, ResNet


@functools.cache
def blocks_and_variables(**settings):
    """Shapes alone: nothing is computed."""
    backbone = ResNet(ModelConfig(dtype="float32", **settings))
    images = jax.ShapeDtypeStruct((1, 97, 65, 3), jnp.float32)
    return jax.eval_shape(lambda x: backbone.init_with_output(jax.random.key(0), x), images)


@pytest.mark.parametrize(("depth", "width"), [(18, 512), (50, 2048), (101, 2048)])
@pytest.mark.parametrize(("stem", "stride", "last"), [("deep", 8, (13, 9)), ("conv7", 16, (7, 5))])
def test_strides_and_widths_of_the_blocks(stem, depth, width, stride, last):
    blocks, _ = blocks_and_variables(depth=depth, stem=stem, output_stride=stride)
    sides = [(25, 17), (13, 9), last, last]
    assert [b.shape[1:3] for b in blocks] == sides
    assert [b.shape[3] for b in blocks] == [width // 8, width // 4, width // 2, width]


@pytest.mark.parametrize(
    ("depth", "published"),
    [(18, 11_689_512), (34, 21_797_672), (50, 25_557_032), (101, 44_549_160)],
)
def test_the_backbone_has_the_published_number_of_parameters(depth, published):
    """torchvision's ResNets, whose last layer has width * 1000 + 1000 of them."""
    _, variables = blocks_and_variables(depth=depth, stem="conv7", output_stride=16)
    classifier = 1000 * (512 if depth < 50 else 2048) + 1000
    assert sum(x.size for x in jax.tree.leaves(variables["params"])) == published - classifier


@pytest.mark.parametrize(
    ("output_stride", "multi_grid", "expected"),
    [
        # two units of two 3x3 convolutions in a block
        (16, False, {2: 4}),
        (16, True, {2: 2, 4: 2}),
        (8, False, {2: 4, 4: 4}),
    ],
)
def test_strides_beyond_the_output_stride_become_dilations(output_stride, multi_grid, expected):
    config = ModelConfig(
        depth=18, width=0.125, dtype="float32", output_stride=output_stride, multi_grid=multi_grid
    )
    backbone = ResNet(config)
    images = jax.ShapeDtypeStruct((1, 65, 65, 3), jnp.float32)
    variables = jax.eval_shape(backbone.init, jax.random.key(0), images)
    jaxpr = str(jax.make_jaxpr(backbone.apply)(variables, images))
    counts = {d: jaxpr.count(f"rhs_dilation=({d}, {d})") for d in (2, 4, 8)}
    assert {d: n for d, n in counts.items() if n} == expected


def test_stochastic_depth_skips_whole_units_and_makes_up_for_it():
    x = jnp.asarray(100 + np.random.default_rng(0).normal(size=(64, 3, 3, 8)), jnp.float32)
    unit = Residual(8, bottleneck=False, stride=1, dilation=1, dtype="float32")
    variables = unit.init(jax.random.key(0), x, False, None)

    def added(unit, train=True):
        """What the convolutions add: x is so large that no ReLU cuts."""
        y, _ = unit.apply(
            variables, x, train, None, mutable=["batch_stats"], rngs={"dropout": jax.random.key(1)}
        )
        return np.asarray(y - x)

    always, sometimes = added(unit), added(unit.clone(drop_path=0.75))
    skipped = (sometimes == 0).all((1, 2, 3))
    assert 36 <= skipped.sum() <= 60  # of 64 at 0.75: 48, three standard deviations either way
    np.testing.assert_allclose(sometimes[~skipped], 4 * always[~skipped], atol=1e-4)
    np.testing.assert_array_equal(added(unit.clone(drop_path=0.75), False), added(unit, False))


def test_stochastic_depth_grows_to_the_last_unit():
    asked = []

    def note(call, args, kwargs, context):
        if isinstance(context.module, Residual) and context.method_name == "__call__":
            asked.append(context.module.drop_path)
        return call(*args, **kwargs)

    model = ResNet(ModelConfig(depth=18, width=0.125, dtype="float32", drop_path=0.4))
    with nn.intercept_methods(note):
        model.init(jax.random.key(0), jnp.zeros((1, 33, 33, 3)))
    np.testing.assert_allclose(asked, [0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4])


@pytest.fixture(scope="module")
def taught():
    """(gradients, statistics, blocks in inference) of a ResNet-34, by its settings."""
    images = jnp.asarray(np.random.default_rng(0).normal(size=(2, 33, 33, 3)), jnp.float32)
    config = ModelConfig(depth=34, width=0.05, dtype="float32", scan="off")
    variables = jax.jit(ResNet(config).init)(jax.random.key(0), images)

    def taught(**settings):
        model = ResNet(dataclasses.replace(config, **settings))

        def loss(params):
            seen = {**variables, "params": params}
            blocks, updated = model.apply(seen, images, True, mutable=["batch_stats"])
            return sum((x**2).mean() for x in blocks), updated["batch_stats"]

        gradients, statistics = jax.jit(jax.grad(loss, has_aux=True))(variables["params"])
        return gradients, statistics, jax.jit(model.apply)(variables, images)

    return functools.cache(taught)


@pytest.mark.parametrize("settings", [{"scan": "on"}, {"scan": "on", "remat": True}])
def test_units_in_a_loop_learn_what_they_learn_by_themselves(taught, settings):
    def check(path, a, b):
        np.testing.assert_allclose(a, b, atol=1e-4 * np.abs(b).max(), err_msg=str(path))

    for looped, plain in zip(taught(**settings), taught(), strict=True):
        jax.tree_util.tree_map_with_path(check, looped, plain)


@pytest.mark.parametrize(("scan", "expected"), [("off", 53), ("on", 29)])
def test_a_loop_holds_the_repeated_units_once(scan, expected):
    """Of each of the four blocks the first unit, of four convolutions, and one of three."""
    model = ResNet(ModelConfig(depth=50, width=0.05, dtype="float32", scan=scan, stem="conv7"))
    images = jax.ShapeDtypeStruct((1, 33, 33, 3), jnp.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), images)
    program = jax.jit(model.apply).lower(variables, images).as_text()
    assert program.count("stablehlo.convolution") == expected


def test_recomputing_keeps_the_inputs_of_units_alone():
    """The maps that the gradient takes from the forward pass, counted in the traced function."""
    images = jnp.zeros((1, 33, 33, 3))

    def kept(remat):
        model = ResNet(ModelConfig(depth=50, width=0.05, dtype="float32", scan="off", remat=remat))
        variables = jax.eval_shape(model.init, jax.random.key(0), images)
        params, statistics = variables["params"], variables["batch_stats"]

        def loss(params, statistics):
            seen = {"params": params, "batch_stats": statistics}
            return model.apply(seen, images, True, mutable=["batch_stats"])[0][-1].sum()

        saved = jax.eval_shape(lambda *v: jax.vjp(loss, *v)[1], params, statistics)
        return sum(x.size for x in jax.tree.leaves(saved) if x.ndim == 4 and x.shape[0] == 1)

    assert kept(True) < 0.5 * kept(False)
