"""The table of engines: agreement with the reference and scores, on tiny photos."""

import pathlib

import numpy as np
import pytest
from load_script import load_script

from hparse_jax.checkpoint import save_run
from hparse_jax.config import Config, ModelConfig
from hparse_jax.data.dataset import BuiltDataset
from hparse_jax.hierarchy import get_hierarchy
from hparse_jax.inference.evaluate import evaluate_split
from hparse_jax.inference.predictor import load_parser
from hparse_jax.models.build import build_model, initial_variables

SCRIPT = pathlib.Path(__file__).parents[2] / "experiments" / "engines.py"


@pytest.fixture(scope="module")
def engines():
    return load_script("engines.py")


def test_a_row_compares_with_the_reference_and_scores_as_evaluate_does(engines, built, tmp_path):
    model = ModelConfig(name="deeplab_largefov", width=0.02, dtype="float32")
    clothes = get_hierarchy("fashion_clothing")
    config = Config(dataset="fashion_clothing", data_dir=str(built), model=model)
    save_run(tmp_path / "run", config, clothes, initial_variables(build_model(model, clothes), 0))
    photos = engines.Photos(str(tmp_path / "run"), None, "train", 10, (1.0,), False)
    reference = engines.measure("jax:float32", photos, str(tmp_path))
    dataset = BuiltDataset("fashion_clothing", str(built))
    parser = load_parser(tmp_path / "run", scales=(1.0,))
    report = evaluate_split(parser, dataset, "train", parser.hierarchy)
    assert reference["photos"] == report["images"]
    assert reference["agreement"] == {"parts": 1.0}
    assert reference["mean_iou"] == {"parts": report["levels"][0]["mean_iou"]}
    for file in tmp_path.glob("*.npz"):  # half of the reference's labels become others
        with np.load(file) as labels:
            changed = labels["arr_0"].copy()
        changed[: len(changed) // 2] = 99
        np.savez(file, changed)
        halves = (len(changed) - len(changed) // 2) / len(changed)
    row = engines.measure("onnxruntime:float32", photos, str(tmp_path))
    assert (row["engine"], row["precision"]) == ("onnxruntime", "float32")
    assert row["agreement"]["parts"] == pytest.approx(halves, abs=0.01)
    heading, _, first, second = engines.table([reference, row]).splitlines()
    assert heading.startswith(f"{report['images']} photos")
    assert (first.split()[:2], second.split()[:2]) == (
        ["jax", "float32"],
        ["onnxruntime", "float32"],
    )
    assert float(first.split()[5]) == 100
