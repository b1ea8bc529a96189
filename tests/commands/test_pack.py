"""The verb `pack`, and its file wherever a workdir is taken."""

import json

import jax
import numpy as np
import pytest
from command_line import hparse
from PIL import Image
from raw_folders import jpeg, write

from hparse_jax.checkpoint import load_run, save_run
from hparse_jax.config import Config, ModelConfig
from hparse_jax.hierarchy import get_hierarchy
from hparse_jax.models.build import build_model, initial_variables

TINY = ModelConfig(name="deeplab_v2", width=0.02, dtype="float32")
CLOTHES = get_hierarchy("fashion_clothing")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """run: a parser whose weights half precision can hold; packed.safetensors: made of it."""
    folder = tmp_path_factory.mktemp("pack")
    config = Config(
        dataset="fashion_clothing",
        data_dir="/secret/data",
        init_from="/secret/run",
        hierarchy="fashion_clothing",
        model=TINY,
    )
    variables = initial_variables(build_model(TINY, CLOTHES), 0)
    halved = jax.tree.map(lambda x: np.float16(x).astype(np.float32), variables)
    save_run(folder / "run", config, CLOTHES, halved)
    done = hparse("pack", f"--workdir={folder / 'run'}", f"--output={folder / 'p.safetensors'}")
    assert done.returncode == 0, done.stderr
    assert "deeplab_v2 trained on fashion_clothing (train), 0 steps" in done.stdout
    return folder


def test_a_run_comes_back_from_its_file(folder):
    run, packed = load_run(folder / "run"), load_run(folder / "p.safetensors")
    assert (packed.hierarchy, packed.step) == (run.hierarchy, run.step)
    assert packed.config.model == run.config.model
    jax.tree.map(np.testing.assert_array_equal, packed.variables, run.variables)


def test_paths_of_the_machine_stay_on_it(folder):
    assert b"secret" not in (folder / "p.safetensors").read_bytes()


def test_predict_takes_the_file_and_finds_the_same(folder, tmp_path):
    write(tmp_path / "photo.jpg", jpeg((48, 40), 1))
    maps = []
    for name in ("run", "p.safetensors"):
        out = tmp_path / f"parsed_{name}"
        done = hparse(
            "predict",
            f"--workdir={folder / name}",
            f"--output={out}",
            str(tmp_path / "photo.jpg"),
        )
        assert done.returncode == 0, done.stderr
        with Image.open(out / "photo.png") as labels:
            maps.append(np.array(labels))
    np.testing.assert_array_equal(*maps)


def test_evaluate_takes_the_file_and_writes_where_one_stands(folder, built, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = hparse("evaluate", f"--workdir={folder / 'p.safetensors'}", f"--data_dir={built}")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "evaluation_val_0.json").read_text())["step"] == 0


def test_training_starts_from_the_file(folder, built, tmp_path):
    config = tmp_path / "config.py"
    config.write_text(
        "from hparse_jax.config import Config, ModelConfig\n"
        "def get_config():\n"
        "    return Config(dataset='fashion_clothing', steps=1, batch_size=1, crop=(33, 33),\n"
        "        model=ModelConfig(name='deeplab_v2', width=0.02))\n"
    )
    done = hparse(
        "train",
        f"--config={config}",
        f"--workdir={tmp_path / 'tuned'}",
        f"--config.data_dir={built}",
        f"--config.init_from={folder / 'p.safetensors'}",
    )
    assert done.returncode == 0, done.stderr
    assert "weights taken; initialised randomly: nothing" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workdir={run}", "--output={tmp}/a.npz"], "ends in .safetensors"),
        (["--workdir={run}", "--output={packed}"], "exists already"),
        (["--workdir={run}", "--output={tmp}/a.safetensors", "--step=5"], "no step 5"),
        (["--workdir={packed}", "--output={tmp}/a.safetensors", "--step=5"], "holds step 0 alone"),
        (["--workdir={tmp}", "--output={tmp}/a.safetensors"], "not a workdir"),
    ],
)
def test_what_cannot_be_packed_is_one_line(folder, tmp_path, arguments, message):
    places = {"run": folder / "run", "packed": folder / "p.safetensors", "tmp": tmp_path}
    done = hparse("pack", *(argument.format(**places) for argument in arguments))
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())
