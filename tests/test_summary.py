"""What a workdir or a packed file says of itself, counted by hand."""

import json

import pytest
from flax import linen as nn

from hparse_jax.checkpoint import load_run, pack_run, save_backbone, save_run
from hparse_jax.config import Config, ModelConfig
from hparse_jax.errors import InputError
from hparse_jax.hierarchy import get_hierarchy
from hparse_jax.models.build import build_backbone, build_model, initial_variables
from hparse_jax.summary import operations, parameters, summarise
from hparse_jax.workdir import BackboneSettings, write_settings

CLOTHES = get_hierarchy("fashion_clothing")
TINY = Config(
    dataset="fashion_clothing",
    crop=(33, 65),
    model=ModelConfig(name="deeplab_v2", width=0.02, dtype="float32", input_scales=(1.0,)),
)


class Points(nn.Module):
    """A product of 3 by 8 numbers at every pixel, and batch norm."""

    @nn.compact
    def __call__(self, images, train):
        x = nn.Conv(8, (1, 1))(images)
        return nn.BatchNorm(use_running_average=not train)(x)


class Products(nn.Module):
    @nn.compact
    def __call__(self, images, train):
        return nn.Conv(8, (1, 1), use_bias=False)(images)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """run: a parser of the leaves alone; packed.safetensors: made of it."""
    folder = tmp_path_factory.mktemp("summary")
    variables = initial_variables(build_model(TINY.model, CLOTHES), 0)
    save_run(folder / "run", TINY, CLOTHES, variables)
    pack_run(load_run(folder / "run"), folder / "packed.safetensors", "a tiny one")
    return folder


def test_the_parameters_are_what_is_learned():
    assert parameters(Points()) == 3 * 8 + 8 + 2 * 8


def test_the_operations_are_two_for_each_product_of_the_network():
    assert operations(Products(), (5, 7)) == 2 * 3 * 8 * 5 * 7


def test_a_run_is_described_without_its_weights(folder):
    (folder / "run" / "evaluation_val_0.json").write_text("{}")
    summary = summarise(folder / "run")
    assert (summary.settings.model, summary.steps, summary.note) == (TINY.model, (0,), "")
    assert (summary.size, summary.hierarchy) == (TINY.crop, CLOTHES.leaves_only())
    files = [file for file in (folder / "run").rglob("*") if file.is_file()]
    weights = [file for file in files if "checkpoints" in file.parts]
    assert summary.bytes == tuple(sum(f.stat().st_size for f in x) for x in (weights, files))


def test_a_packed_parser_is_that_of_the_run(folder):
    run, packed = summarise(folder / "run"), summarise(folder / "packed.safetensors", (65, 33))
    assert (packed.steps, packed.note, packed.size) == ((0,), "a tiny one", (65, 33))
    assert packed.parameters == run.parameters
    assert packed.bytes == ((folder / "packed.safetensors").stat().st_size,) * 2


def test_scores_are_the_reports_of_evaluate_and_nothing_else(folder):
    report = {
        "split": "val",
        "step": 0,
        "images": 7,
        "scales": [1.0],
        "flip": False,
        "levels": [{"name": "parts", "mean_iou": 0.5}],
    }
    broken = {"evaluation_a.json": "{", "evaluation_b.json": "[]", "evaluation_c.json": "{}"}
    for name, text in (broken | {"evaluation_val_0.json": json.dumps(report)}).items():
        (folder / "run" / name).write_text(text)
    assert summarise(folder / "run").scores == dict.fromkeys(broken) | {
        "evaluation_val_0.json": report
    }


def test_a_run_that_has_not_saved_yet_has_no_steps(tmp_path):
    write_settings(tmp_path, TINY, CLOTHES)
    summary = summarise(tmp_path)
    assert (summary.steps, summary.bytes[0]) == ((), 0)


def test_a_backbone_has_no_classes(tmp_path):
    model = ModelConfig(depth=18, width=0.05, dtype="float32")
    settings = BackboneSettings("resnet", model, (1.0,) * 3, (1.0,) * 3, "rgb")
    variables = initial_variables(build_backbone("resnet", model), 0)
    save_backbone(tmp_path, settings, variables)
    summary = summarise(tmp_path)
    assert (summary.settings, summary.hierarchy, summary.steps) == (settings, None, (0,))
    assert summary.size == Config().crop


def test_anything_else_is_refused(tmp_path):
    with pytest.raises(InputError, match="not a workdir"):
        summarise(tmp_path)
