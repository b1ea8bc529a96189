"""The verb `predict` as a user calls it; a random DeepLabV2 parses."""

import numpy as np
import pytest
from command_line import hparse
from PIL import Image
from raw_folders import jpeg, png, write

from hparse_jax.checkpoint import save_backbone, save_run
from hparse_jax.commands import predict as command
from hparse_jax.config import Config, ModelConfig
from hparse_jax.data.build import build
from hparse_jax.errors import InputError
from hparse_jax.hierarchy import get_hierarchy
from hparse_jax.models.build import build_backbone, build_model, initial_variables
from hparse_jax.workdir import BackboneSettings

TINY = ModelConfig(name="deeplab_v2", width=0.02, dtype="float32")
LIP = get_hierarchy("lip")
SIZE = (48, 40)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """run: a parser; photos: two photographs; data: LIP with one photo in train, two in test."""
    folder = tmp_path_factory.mktemp("predict")
    write(folder / "raw/train_images/a.jpg", jpeg(SIZE, 1))
    write(folder / "raw/train_segmentations/a.png", png(np.zeros(SIZE, np.uint8)))
    for name in "bc":
        write(folder / f"raw/test_images/{name}.jpg", jpeg(SIZE, ord(name)))
        write(folder / f"photos/{name}.jpg", jpeg(SIZE, ord(name)))
    build("lip", folder / "data", folder / "raw")
    config = Config(dataset="lip", data_dir=str(folder / "data"), model=TINY)
    save_run(folder / "run", config, LIP, initial_variables(build_model(TINY, LIP), 0))
    return folder


def test_photographs_get_their_files_and_a_summary(folder, tmp_path):
    done = hparse(
        "predict", f"--workdir={folder / 'run'}", f"--output={tmp_path}", str(folder / "photos")
    )
    assert done.returncode == 0, done.stderr
    assert f"2 of 2 photographs parsed into {tmp_path}" in done.stdout
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {f"{name}{end}" for name in "bc" for end in (".png", "_overlay.jpg", ".json")}


def test_the_flags_reach_the_parser(folder, tmp_path, monkeypatch):
    asked = {}

    def load(workdir, step, **options):
        asked.update(options, step=step)
        raise InputError("enough")

    monkeypatch.setattr(command, "load_parser", load)
    flags = ("--scales=0.5,1", "--flip", "--side=65", "--consistent", "--max_side=99", "--step=0")
    hparse("predict", f"--workdir={folder / 'run'}", f"--output={tmp_path}", *flags)
    values = {"scales": (0.5, 1.0), "flip": True, "side": 65, "consistent": True, "max_side": 99}
    assert asked == {**values, "step": 0}


def test_a_split_is_parsed_into_a_zip_that_is_named(folder, tmp_path):
    done = hparse("predict", f"--workdir={folder / 'run'}", f"--output={tmp_path}", "--split=test")
    assert done.returncode == 0, done.stderr
    assert f"2 label maps of lip test in {tmp_path}; {tmp_path / 'lip_test.zip'}" in done.stdout
    with Image.open(tmp_path / "b.png") as labels:
        assert (labels.mode, labels.size[::-1]) == ("L", SIZE)


def test_a_missing_photograph_fails_the_call_and_not_the_others(folder, tmp_path):
    photos = [str(folder / "photos" / name) for name in ("b.jpg", "gone.jpg")]
    done = hparse("predict", f"--workdir={folder / 'run'}", f"--output={tmp_path}", *photos)
    assert done.returncode == 1
    assert "gone.jpg: no such file" in done.stderr
    assert (tmp_path / "b.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--split=test", "photos"), 2, "photographs or --split, not both"),
        ((), 1, "no photograph given"),
        (("--max_side=0", "photos"), 1, "--max_side=0: give a number above 0"),
        (("--step=7", "photos"), 1, r"no step 7; there are [0]"),
        (("--split=val",), 1, "has no split 'val'"),
    ],
)
def test_wrong_calls_are_told_in_one_line(folder, tmp_path, arguments, code, message):
    workdir, output = f"--workdir={folder / 'run'}", f"--output={tmp_path / 'out'}"
    done = hparse("predict", workdir, output, *arguments)
    assert done.returncode == code
    assert message in done.stderr.splitlines()[0]
    assert not (tmp_path / "out").exists()


def test_an_imported_backbone_parses_nothing(folder, tmp_path):
    model = ModelConfig(depth=18, width=0.1, dtype="float32")
    settings = BackboneSettings("resnet", model, (0.0,) * 3, (1.0,) * 3, "rgb")
    variables = initial_variables(build_backbone("resnet", model), 0)
    save_backbone(tmp_path / "backbone", settings, variables)
    for verb in (
        ("predict", f"--output={tmp_path / 'out'}", str(folder / "photos")),
        ("evaluate",),
    ):
        done = hparse(verb[0], f"--workdir={tmp_path / 'backbone'}", *verb[1:])
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert "an imported backbone" in line
        assert "init_from" in line
