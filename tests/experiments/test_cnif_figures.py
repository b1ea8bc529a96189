"""CNIF's figures: the table of the gates by hand, and the script on a random network."""

import dataclasses
import pathlib
import sys
from unittest import mock

import jax
import numpy as np
import pytest
from load_script import load_script
from PIL import Image

from hparse_jax.checkpoint import save_run
from hparse_jax.config import Config, ModelConfig
from hparse_jax.data.dataset import BuiltDataset
from hparse_jax.errors import InputError
from hparse_jax.hierarchy import get_hierarchy
from hparse_jax.inference.predictor import load_parser
from hparse_jax.models import build_model
from hparse_jax.models.build import initial_variables

SCRIPT = pathlib.Path(__file__).parents[2] / "experiments" / "cnif" / "figures.py"
NAN = float("nan")


@pytest.fixture(scope="module")
def figures():
    return load_script("cnif/figures.py")


def test_gates_are_listed_by_node_and_source_without_background(figures):
    finest = {"direct": np.array([0.9, 0.1, 0.2]), "top_down": np.array([0.0, 0.3, 0.4])}
    root = {"direct": np.array([0.9, 0.6]), "bottom_up": np.array([0.0, 0.7])}
    table = figures.gate_table([finest, root])
    # direct, top-down, bottom-up
    np.testing.assert_array_equal(table, [[0.1, 0.3, NAN], [0.2, 0.4, NAN], [0.6, NAN, 0.7]])
    picture = np.zeros((4, 3, 3), np.uint8)
    drawn = figures.figure([({"photo": picture, "parts": picture}, table)], ["arm", "leg", "body"])
    assert [axes.get_title() for axes in drawn.axes] == ["photo", "parts", "gates"]
    gates = drawn.axes[-1]
    shown = {text.get_position(): text.get_text() for text in gates.texts}
    assert shown == {
        **{(0, 0): "0.10", (1, 0): "0.30", (0, 1): "0.20", (1, 1): "0.40"},
        **{(0, 2): "0.60", (2, 2): "0.70"},
    }
    assert [label.get_text() for label in gates.get_yticklabels()] == ["arm", "leg", "body"]


@pytest.fixture(scope="module")
def workdir(built, tmp_path_factory):
    """A random network of the full model on fashion_clothing."""
    model = ModelConfig(depth=18, width=0.05, stem="conv7", dtype="float32")
    config = Config(dataset="fashion_clothing", data_dir=str(built), crop=(65, 65), model=model)
    hierarchy = get_hierarchy("fashion_clothing")
    network = build_model(model, hierarchy)
    variables = jax.jit(initial_variables, static_argnums=(0, 1))(network, 0)
    folder = tmp_path_factory.mktemp("figures")
    save_run(folder / "full" / "seed0", config, hierarchy, variables)
    return folder / "full" / "seed0"


def run(figures, *arguments):
    with mock.patch.object(sys, "argv", ["figures.py", *map(str, arguments)]):
        figures.main()


def test_a_run_shows_labels_other_runs_levels_and_its_gates(figures, workdir, tmp_path):
    parser, hierarchy = load_parser(workdir), get_hierarchy("fashion_clothing")
    dataset = BuiltDataset("fashion_clothing", parser.config.data_dir)
    _, image, truth = next(dataset.photos("val"))
    pictures, table = figures.row_of(image, truth, parser, {str(workdir): parser})
    assert list(pictures) == ["photo", "labels", "full/seed0", "parts", "halves", "body"]
    np.testing.assert_array_equal(pictures["full/seed0"], pictures["parts"])
    assert {picture.shape for picture in pictures.values()} == {image.shape}
    nodes = figures.node_names(hierarchy)
    assert table.shape == (len(nodes), 3) == (17 + 2 + 1, 3)
    gates = parser(image).gates
    assert table[nodes.index("bag"), 1] == gates[0]["top_down"][2]
    assert table[nodes.index("lower-body"), 2] == gates[1]["bottom_up"][2]

    output = tmp_path / "new" / "gates.png"
    run(figures, f"--workdir={workdir}", f"--output={output}", "--count=1")
    with Image.open(output) as picture:
        assert picture.format == "PNG"
    Image.fromarray(image).save(tmp_path / "photo.png")
    run(figures, f"--workdir={workdir}", f"--output={output}", tmp_path / "photo.png")


def test_wrong_commands_are_refused_in_one_line(figures, workdir, tmp_path, monkeypatch):
    output = f"--output={tmp_path / 'gates.png'}"
    with pytest.raises(InputError, match=r"must end in \.png"):
        run(figures, f"--workdir={workdir}", "--output=gates")
    with pytest.raises(InputError, match="--count=0: give a number above 0"):
        run(figures, f"--workdir={workdir}", output, "--count=0")
    parser = load_parser(workdir)
    model = dataclasses.replace(parser.config.model, fusion="ensemble")
    parser.config = dataclasses.replace(parser.config, model=model)
    monkeypatch.setattr(figures, "load_parser", lambda _: parser)
    with pytest.raises(InputError, match="has no gates; give a run of the full model"):
        run(figures, f"--workdir={workdir}", output)
