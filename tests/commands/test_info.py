"""The verb `info`."""

import dataclasses
import json
import pathlib

import pytest
from command_line import hparse

from hparse_jax.commands.info import text, tree
from hparse_jax.config import Config, ModelConfig
from hparse_jax.hierarchy import Hierarchy, Level
from hparse_jax.summary import Summary
from hparse_jax.workdir import BackboneSettings, write_settings

PEOPLE = Hierarchy(
    name="people",
    levels=(
        Level("parts", ("background", "hat", "shoe", "arm"), (0, 1, 2, 1)),
        Level("halves", ("background", "upper", "lower"), (0, 1, 1)),
        Level("body", ("background", "person"), ()),
    ),
    palette=((0, 0, 0),) * 4,
)
REPORT = {
    "dataset": "lip",
    "split": "val",
    "step": 40,
    "images": 7,
    "scales": [0.75, 1.0],
    "flip": True,
    "levels": [{"name": "parts", "mean_iou": 0.25}, {"name": "body", "mean_iou": 0.875}],
}
RUN = Summary(
    place=pathlib.Path("runs/a"),
    settings=Config(data_dir="/d", batch_size=3, model=ModelConfig(depth=18, width=0.5)),
    hierarchy=PEOPLE,
    steps=(20, 40),
    note="",
    parameters=1234567,
    size=(473, 321),
    operations=2.5e10,
    bytes=(5_000_000, 12_340_000),
    scores={"evaluation_a.json": REPORT, "evaluation_b.json": None},
)


def test_the_tree_is_drawn_with_the_ids_of_every_level():
    assert list(tree(PEOPLE)) == [
        "0 background",
        "1 person",
        "├─ 1 upper",
        "│  ├─ 1 hat",
        "│  └─ 3 arm",
        "└─ 2 lower",
        "   └─ 2 shoe",
    ]


def test_classes_without_coarser_levels_are_a_list():
    assert list(tree(PEOPLE.leaves_only())) == ["0 background", "1 hat", "2 shoe", "3 arm"]


def test_a_run_says_all_that_is_known_of_it():
    lines = text(RUN).splitlines()
    assert lines[0] == "runs/a"
    assert max(map(len, lines)) <= 100
    shown = " ".join(" ".join(lines).split())
    for row in (
        "network cnif, ResNet-18 trained on lip, split train, in /d settings batch_size=3 ",
        " model.width=0.5 step 40; earlier ones: 20 size on disk 5.0 MB; with all there is in the "
        "folder 12.3 MB parameters 1,234,567 operations 25 GFLOP for one photograph 473 pixels "
        "high and 321 wide",
        "mean IoU parts 0.250, body 0.875 (lip val, step 40, 7 photos, scales 0.75, 1 with flip)",
        "scores evaluation_b.json: not a report of `hparse evaluate`",
        "classes parts 4, halves 3, body 2, background included",
    ):
        assert row in shown
    assert lines[-7:] == list(tree(PEOPLE))


def test_what_is_not_there_is_said():
    shown = text(dataclasses.replace(RUN, steps=(), scores={}))
    assert "no checkpoint yet" in shown
    assert "none in the folder; `hparse evaluate` writes them there" in shown


def test_a_packed_parser_says_its_note_and_no_paths(tmp_path):
    (tmp_path / "a.safetensors").touch()
    shown = text(dataclasses.replace(RUN, place=tmp_path / "a.safetensors", note="of streets"))
    assert "note          of streets" in shown
    assert "/d" not in shown.replace(str(tmp_path), "")
    assert "folder" not in shown


def test_a_backbone_says_its_input():
    settings = BackboneSettings("vgg", ModelConfig(), (1.5, 2.0, 3.0), (1.0,) * 3, "bgr", True)
    shown = text(dataclasses.replace(RUN, settings=settings, hierarchy=None))
    for row in ("VGG-16 with fc6 and fc7", "bgr, mean 1.5,2.0,3.0", "config.init_from", "25 GFLOP"):
        assert row in shown
    assert "scores" not in shown
    assert "classes" not in shown


def test_the_verb_describes_a_folder(tmp_path):
    model = ModelConfig(name="deeplab_v2", width=0.02, input_scales=(1.0,))
    write_settings(tmp_path, Config(model=model), PEOPLE)
    (tmp_path / "evaluation_val_40.json").write_text(json.dumps(REPORT))
    done = hparse("info", f"--workdir={tmp_path}", "--size=33,65")
    assert (done.returncode, done.stderr) == (0, "")
    for part in ("deeplab_v2, VGG-16", "33 pixels high and 65 wide", "mean IoU parts 0.250"):
        assert part in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--size=300"], 1, "--size=300: give HEIGHT,WIDTH, e.g. 473,473"),
        (["--size=16,300"], 1, "--size=16,300: give whole numbers in 17..4096"),
        (["--size=a,b"], 1, "--size=a,b: give whole numbers"),
        (["--workdir=nowhere"], 1, "nowhere: not a workdir"),
        (["surplus"], 2, "no arguments but flags, not surplus"),
    ],
)
def test_wrong_input_is_one_line(tmp_path, monkeypatch, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    done = hparse("info", *arguments)
    assert done.returncode == code
    assert message in done.stderr.splitlines()[0]
