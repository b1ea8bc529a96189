"""The table of networks: every name of the config, sizes, outputs and backbones."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest

from hparse_jax.config import Config, ModelConfig, validate
from hparse_jax.errors import InputError
from hparse_jax.hierarchy import get_hierarchy
from hparse_jax.models import build_model
from hparse_jax.models.build import BACKBONES, NETWORKS, build_backbone, initial_variables

LIP = get_hierarchy("lip")
C = 20


def conv(i, o, k=3):
    return k * k * i * o + o


def norm_conv(i, o):
    return 9 * i * o + 2 * o  # no bias, batch norm's scale and bias


ENCODER = [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 256)]
ENCODER += [(256, 512)] + [(512, 512)] * 5
DECODER = [(512, 512)] * 5 + [(512, 256), (256, 256), (256, 256), (256, 128), (128, 128), (128, 64)]
VGG = sum(conv(*pair) for pair in ENCODER)
LARGE_FOV = conv(512, 1024) + conv(1024, 1024, 1) + conv(1024, C, 1)
PARAMETERS = {
    "segnet": sum(norm_conv(*pair) for pair in [*ENCODER, *DECODER, (64, 64)]) + conv(64, C),
    "fcn8s": VGG
    + conv(512, 4096, 7)
    + conv(4096, 4096, 1)
    + sum(conv(i, C, 1) for i in (256, 512, 4096))
    + 2 * 16 * C * C,
    "deeplab_largefov": VGG + LARGE_FOV,
    "deeplab_v2": VGG + 4 * LARGE_FOV,
    "attention": VGG + LARGE_FOV + conv(3 * 1024, 512) + conv(512, 3, 1),
}


def shapes(module, size=(65, 49)):
    """(output, variables, blocks of the backbone): nothing is computed."""
    images = jax.ShapeDtypeStruct((2, *size, 3), jnp.float32)

    def all_of(x):
        output, variables = module.init_with_output(jax.random.key(0), x)
        backbone = NETWORKS[module.config.name].backbone
        blocks = module.apply(variables, x, method=lambda m, x: getattr(m, backbone)(x))
        return [vars(level) for level in output.levels], variables, blocks

    return jax.eval_shape(all_of, images)


def test_every_name_that_the_config_allows_is_a_network():
    with pytest.raises(InputError) as error:
        validate(Config(model=ModelConfig(name="unknown")))
    choices = str(error.value).rpartition("one of ")[2].split(", ")
    assert sorted(choices) == sorted(NETWORKS)


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_at_full_width(name):
    _, variables, _ = shapes(build_model(ModelConfig(name=name, dtype="float32"), LIP))
    assert sum(x.size for x in jax.tree.leaves(variables["params"])) == PARAMETERS[name]


def test_new_layers_are_layers_of_their_network():
    for name, network in NETWORKS.items():
        config = ModelConfig(name=name, width=0.02, depth=50, dtype="float32")
        variables = shapes(build_model(config, LIP))[1] if network.new_layers else {}
        paths = [path for path, _ in jax.tree_util.tree_leaves_with_path(variables)]
        assert set(network.new_layers) <= {key.key for path in paths for key in path}


def test_the_released_network_has_as_many_numbers_as_the_published_file():
    config = ModelConfig(name="cnif_official", output_stride=8, multi_grid=True, dtype="float32")
    variables = jax.tree.leaves(shapes(build_model(config, LIP))[1])
    assert (len(variables), sum(x.size for x in variables)) == (635, 87_771_856)


@pytest.mark.parametrize("name", PARAMETERS)
@pytest.mark.parametrize("size", [(65, 49), (70, 51), (33, 97)])
def test_a_baseline_has_leaf_logits_on_a_grid_of_the_image(name, size):
    model = build_model(ModelConfig(name=name, width=0.125, dtype="float32"), LIP)
    (level,), _, blocks = shapes(model, size)
    stride = 1 if name == "segnet" else 8
    expected = (2, -(-size[0] // stride), -(-size[1] // stride), C)
    assert level["fused"].shape == level["direct"].shape == expected
    assert level["fused"].dtype == jnp.float32
    strides = (1, 2, 4, 8, 8) if NETWORKS[name].new_layers else (1, 2, 4, 8, 16)
    assert [x.shape[1] for x in blocks] == [-(-size[0] // s) for s in strides]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("hierarchy", [True, False])
def test_a_network_predicts_its_levels_and_starts_from_its_backbone(name, hierarchy):
    depth = 50 if name == "cnif_official" else 18  # whose heads have a fixed width
    config = ModelConfig(name=name, depth=depth, hierarchy=hierarchy, dtype="float32")
    model = build_model(config, LIP)
    levels, variables, blocks = shapes(model)
    nodes = [20, 3, 2] if hierarchy and name.startswith("cnif") else [20]
    assert [len(level.nodes) for level in model.hierarchy.levels] == nodes
    assert [level["fused"].shape[-1] for level in levels] == nodes
    if hierarchy:
        assert len(NETWORKS[name].outputs) in (0, len(nodes))

    backbone = build_backbone(NETWORKS[name].backbone, config)
    images = jax.ShapeDtypeStruct((2, 65, 49, 3), jnp.float32)
    alone, own = jax.eval_shape(lambda x: backbone.init_with_output(jax.random.key(0), x), images)
    assert len(blocks) == len(alone)
    kernels = [
        {
            jax.tree_util.keystr(path): x.shape
            for path, x in jax.tree_util.tree_leaves_with_path(tree["params"][backbone_name])
            if path[-1].key == "kernel"
        }
        for tree in (variables, own)
        for backbone_name in [NETWORKS[name].backbone]
    ]
    assert kernels[0] == kernels[1]


def test_auto_is_float32_without_loops_on_a_cpu_and_the_config_is_left_alone():
    config = ModelConfig()
    for model in (build_model(config, LIP), *(build_backbone(name, config) for name in BACKBONES)):
        assert model.config == dataclasses.replace(config, dtype="float32", scan="off")
    assert (config.dtype, config.scan) == ("auto", "auto")


def test_initial_variables_are_a_function_of_model_and_seed():
    model = build_model(ModelConfig(name="deeplab_v2", width=0.01, dtype="float32"), LIP)
    create = jax.jit(initial_variables, static_argnums=(0, 1))
    first, again, other = create(model, 0), create(model, 0), create(model, 1)
    assert first["batch_stats"] == {}
    kernels = [v["params"]["rate6"]["fc6"]["kernel"] for v in (first, again, other)]
    assert (kernels[0] == kernels[1]).all()
    assert (kernels[0] != kernels[2]).any()
