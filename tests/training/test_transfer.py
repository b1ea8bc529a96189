"""Training that starts from the weights of another run (LIP section 5.1, the second step)."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from hparse_jax.checkpoint import Checkpoints, load_run, save_backbone, save_run
from hparse_jax.config import Config, ModelConfig
from hparse_jax.errors import InputError
from hparse_jax.hierarchy import get_hierarchy
from hparse_jax.models import build_model
from hparse_jax.models.build import build_backbone, initial_variables, levels_of
from hparse_jax.sharding import data_mesh
from hparse_jax.training.step import create_state
from hparse_jax.training.transfer import start_from
from hparse_jax.workdir import BackboneSettings, claim, write_settings

PASCAL = get_hierarchy("pascal_person_part")
PARTS = PASCAL.leaves_only()


def state_of(name, seed, width=0.05):
    model = ModelConfig(name=name, depth=18, width=width, hierarchy=False, dtype="float32")
    config = Config(seed=seed, dataset="pascal_person_part", model=model)
    hierarchy = levels_of(model, PASCAL)
    state = create_state(build_model(model, hierarchy), config, data_mesh(jax.devices()[:1]), 10)
    return config, state


def starting_at(workdir, name="deeplab_v2"):
    return Config(init_from=str(workdir), model=ModelConfig(name=name))


@pytest.fixture(scope="module")
def deeplab(tmp_path_factory):
    """(workdir, variables) of a run of DeepLabV2."""
    workdir = tmp_path_factory.mktemp("deeplab")
    config, state = state_of("deeplab_v2", 1)
    write_settings(workdir, config, PARTS)
    variables = jax.tree.map(np.asarray, state.variables)
    with Checkpoints(workdir, 1) as checkpoints:
        checkpoints.save(state, 3)
        checkpoints.wait()
    return workdir, variables


def test_the_same_network_takes_every_weight(deeplab):
    workdir, variables = deeplab
    state, new_ones = start_from(state_of("deeplab_v2", 2)[1], starting_at(workdir), PARTS)
    assert new_ones == []
    jax.tree.map(np.testing.assert_array_equal, state.variables, variables)
    assert int(state.step) == 0


def test_another_network_takes_the_backbone_and_names_the_rest(deeplab):
    workdir, variables = deeplab
    fresh = state_of("attention", 2)[1]
    before = jax.tree.map(np.asarray, fresh.variables["params"])
    state, new_ones = start_from(fresh, starting_at(workdir, "attention"), PARTS)
    taken, old = state.variables["params"], variables["params"]
    jax.tree.map(np.testing.assert_array_equal, taken["vgg"], old["vgg"])
    assert {name.split("/")[1] for name in new_ones} == {"classifier", "attention1", "attention2"}
    for name in ("classifier", "attention1", "attention2"):
        jax.tree.map(np.testing.assert_array_equal, taken[name], before[name])


def test_another_backbone_is_refused(deeplab):
    with pytest.raises(InputError, match=r"init_from=.*params/vgg/conv1_1/\w+ is \[.*is wanted"):
        start_from(state_of("deeplab_v2", 2, width=0.25)[1], starting_at(deeplab[0]), PARTS)


@pytest.mark.parametrize(
    ("field", "value", "setting"),
    [
        ("channels", "bgr", "config.channels=rgb"),
        ("std", (1.0, 1.0, 1.0), "config.std=58.395,57.12,57.375"),
        ("mean", (1.0, 1.0, 1.0), "config.mean=123.675,116.28,103.53"),
    ],
)
def test_weights_that_know_other_colours_are_refused(deeplab, field, value, setting):
    config = dataclasses.replace(starting_at(deeplab[0]), **{field: value})
    with pytest.raises(InputError, match=setting):
        start_from(state_of("deeplab_v2", 2)[1], config, PARTS)


def test_segnet_starts_from_vggs_kernels_with_batch_norm_of_its_own(deeplab):
    workdir, variables = deeplab
    fresh = state_of("segnet", 2)[1]
    before = jax.tree.map(np.asarray, fresh.variables)
    state, new_ones = start_from(fresh, starting_at(workdir, "segnet"), PARTS)
    taken = jax.tree.map(np.asarray, state.variables)
    for layer, weights in taken["params"]["vgg"].items():
        np.testing.assert_array_equal(
            weights["kernel"], variables["params"]["vgg"][layer]["kernel"]
        )
        assert f"params/vgg/{layer}/norm/scale" in new_ones
        jax.tree.map(
            np.testing.assert_array_equal,
            weights["norm"],
            before["params"]["vgg"][layer]["norm"],
        )
    assert len(taken["params"]["vgg"]) == 13
    # the decoder mirrors the encoder, names and shapes included, and takes nothing from it
    jax.tree.map(
        np.testing.assert_array_equal, taken["params"]["decoder"], before["params"]["decoder"]
    )
    jax.tree.map(np.testing.assert_array_equal, taken["batch_stats"], before["batch_stats"])


@pytest.fixture(scope="module")
def vgg(tmp_path_factory):
    """vgg(classifier) -> (workdir, weights) of an imported VGG-16 with few channels."""

    @functools.cache
    def vgg(classifier):
        workdir = tmp_path_factory.mktemp("vgg")
        model = ModelConfig(width=0.0625, dtype="float32")  # fc6: 256 channels, or 64
        colours = (Config().mean, Config().std, Config().channels)
        settings = BackboneSettings("vgg", model, *colours, classifier)
        variables = initial_variables(build_backbone("vgg", model, classifier), 1)
        # no bias is zero
        variables = jax.tree.map(lambda x: np.asarray(x) + np.float32(0.5), variables)
        save_backbone(workdir, settings, variables)
        return workdir, variables["params"]["vgg"]

    return vgg


@pytest.mark.parametrize(
    ("name", "heads"),
    [
        ("fcn8s", [()]),
        ("deeplab_largefov", [("classifier",)]),
        ("attention", [("classifier",)]),
        ("deeplab_v2", [("rate6",), ("rate12",), ("rate18",), ("rate24",)]),
    ],
)
def test_fc6_and_fc7_start_from_vggs(vgg, name, heads):
    """FCN takes them whole, the DeepLab networks every third tap and every fourth channel."""
    workdir, published = vgg(True)
    fresh = state_of(name, 2, width=0.0625)[1]
    state, new_ones = start_from(fresh, starting_at(workdir, name), PARTS)
    for head in heads:
        layers = functools.reduce(lambda tree, key: tree[key], head, state.variables["params"])
        tap, channel = (1, 1) if name == "fcn8s" else (3, 4)
        fc6, fc7 = published["fc6"], published["fc7"]
        expected = {
            "fc6": (fc6["kernel"][::tap, ::tap, :, ::channel], fc6["bias"][::channel]),
            "fc7": (fc7["kernel"][:, :, ::channel, ::channel], fc7["bias"][::channel]),
        }
        for layer, (kernel, bias) in expected.items():
            np.testing.assert_array_equal(layers[layer]["kernel"], kernel)
            np.testing.assert_array_equal(layers[layer]["bias"], bias)
    assert not {"fc6", "fc7"} & {part for name in new_ones for part in name.split("/")}
    assert new_ones


def test_a_backbone_without_classifier_leaves_fc6_and_fc7_random(vgg):
    workdir, published = vgg(False)
    fresh = state_of("attention", 2, width=0.0625)[1]
    before = jax.tree.map(np.asarray, fresh.variables["params"]["classifier"])
    state, new_ones = start_from(fresh, starting_at(workdir, "attention"), PARTS)
    jax.tree.map(np.testing.assert_array_equal, state.variables["params"]["vgg"], published)
    taken = state.variables["params"]["classifier"]
    jax.tree.map(np.testing.assert_array_equal, taken, before)
    assert {"params/classifier/fc6/kernel", "params/classifier/fc7/bias"} <= set(new_ones)


def test_attention_starts_from_deeplab_largefov(tmp_path):
    """Their common layers have the same names."""
    config, state = state_of("deeplab_largefov", 1)
    save_run(tmp_path, config, PARTS, jax.tree.map(np.asarray, state.variables))
    _, new_ones = start_from(state_of("attention", 2)[1], starting_at(tmp_path, "attention"), PARTS)
    assert {name.split("/")[1] for name in new_ones} == {"attention1", "attention2"}


def test_a_network_without_the_backbone_is_refused(deeplab):
    fresh = state_of("cnif", 2)[1]
    with pytest.raises(InputError, match=r"params/resnet/\S+/kernel is not there"):
        start_from(fresh, starting_at(deeplab[0], "cnif"), PARTS)


def test_classifiers_of_other_classes_are_not_taken(deeplab):
    """The same number of classes with other names."""
    nodes = ("background", *(f"class{i}" for i in range(1, 7)))
    other = dataclasses.replace(PARTS, levels=(dataclasses.replace(PARTS.levels[0], nodes=nodes),))
    _, new_ones = start_from(state_of("deeplab_v2", 2)[1], starting_at(deeplab[0]), other)
    assert {name.split("/")[1] for name in new_ones} == {"rate6", "rate12", "rate18", "rate24"}


def test_the_start_is_a_setting_of_the_run(tmp_path):
    """Another --config.init_from in the same workdir would not be the same run."""
    config = Config(dataset="pascal_person_part")
    write_settings(tmp_path, config, PARTS)
    (tmp_path / "checkpoints" / "10").mkdir(parents=True)
    with pytest.raises(InputError, match=r"config\.init_from"):
        claim(tmp_path, dataclasses.replace(config, init_from="elsewhere"), PARTS)


def test_a_start_that_is_no_run_names_the_setting(tmp_path):
    fresh = state_of("deeplab_v2", 2)[1]
    with pytest.raises(InputError, match=r"^config\.init_from: .*nowhere: not a workdir"):
        start_from(fresh, starting_at(tmp_path / "nowhere"), PARTS)


def test_training_starts_from_the_weights(tmp_path, start, finish):
    """One step at a rate of almost nothing leaves them as they were; the run's own folder is no
    start."""
    model = ModelConfig(name="deeplab_v2", width=0.02, dtype="float32")
    hierarchy = get_hierarchy("fashion_clothing").leaves_only()
    config = Config(seed=5, dataset="fashion_clothing", model=model)
    network = build_model(model, hierarchy)
    variables = jax.tree.map(
        np.asarray, jax.jit(initial_variables, static_argnums=(0, 1))(network, 5)
    )
    save_run(tmp_path / "base", config, hierarchy, variables)
    fields = {
        "model.name": "deeplab_v2",
        "model.width": 0.02,
        "steps": 1,
        "optimizer.base_lr": 1e-30,
        "init_from": tmp_path / "base",
    }
    output = finish(start(tmp_path / "run", **fields))
    assert "weights taken; initialised randomly: nothing" in output
    trained = load_run(tmp_path / "run")
    assert trained.step == 1
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=0, atol=1e-25),
        trained.variables["params"],
        variables["params"],
    )
    output = finish(start(tmp_path / "base", **fields), code=1)
    assert "is this run's own workdir" in output.splitlines()[-1]
