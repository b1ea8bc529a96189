"""The verb `predict` as a user calls it; a random DeepLabV2 parses."""

import itertools
import json

import numpy as np
import pytest
from command_line import hparse
from PIL import Image
from raw_folders import jpeg, png, write
from videos import write as write_video

from hparse_jax.checkpoint import save_backbone, save_run
from hparse_jax.commands import predict as command
from hparse_jax.config import Config, ModelConfig
from hparse_jax.data.build import build
from hparse_jax.errors import InputError
from hparse_jax.hierarchy import get_hierarchy
from hparse_jax.inference import watch
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
    flags += ("--engine=openvino", "--precision=bfloat16")
    hparse("predict", f"--workdir={folder / 'run'}", f"--output={tmp_path}", *flags)
    values = {"scales": (0.5, 1.0), "flip": True, "side": 65, "consistent": True, "max_side": 99}
    assert asked == {**values, "step": 0, "engine": "openvino", "precision": "bfloat16"}


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


def test_every_format_in_the_classes_of_another_dataset(folder, tmp_path):
    every = "--formats=png,overlay,json,npz,rle,polygons,cutout,crops"
    flags = (f"--output={tmp_path}", "--map=lip_atr", "--classes=upper-body,hat", "--legend=none")
    done = hparse("predict", f"--workdir={folder / 'run'}", *flags, every, str(folder / "photos"))
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert [x for x in lines if "for want of" in x] == [
        "background, for want of a class in atr: glove, socks, jumpsuits"
    ]
    tree = json.loads((tmp_path / "annotations.json").read_text())
    atr = get_hierarchy("atr")
    nodes = sum(len(level.nodes) - 1 for level in atr.levels)
    assert len(tree["categories"]) == nodes
    assert {image["file_name"] for image in tree["images"]} == {"b.jpg", "c.jpg"}
    hat, upper_body = (
        atr.levels[0].nodes.index("hat"),
        1000 + atr.levels[1].nodes.index("upper-body"),
    )
    assert {a["category_id"] for a in tree["annotations"]} <= {hat, upper_body}
    with np.load(tmp_path / "b.npz") as arrays:
        assert {name: arrays[name].shape for name in arrays.files} == {
            level.name: (*SIZE, len(level.nodes)) for level in atr.levels
        }
    with Image.open(tmp_path / "b_overlay.jpg") as overlay:
        assert overlay.size[::-1] == SIZE
    assert json.loads((tmp_path / "b.json").read_text())["map"] == "lip_atr"


def test_standard_input_and_output(folder, tmp_path):
    workdir, photo = f"--workdir={folder / 'run'}", folder / "photos" / "b.jpg"
    assert hparse("predict", workdir, f"--output={tmp_path}", str(photo)).returncode == 0
    expected = (tmp_path / "b.png").read_bytes()
    for name in ("-", str(photo)):
        done = hparse("predict", workdir, "--output=-", name, stdin=photo.read_bytes())
        assert done.returncode == 0, done.stderr
        assert done.stdout.encode(errors="surrogateescape") == expected
    arguments = (f"--output={tmp_path}", "--formats=png,json,rle")
    done = hparse("predict", workdir, *arguments, "-", stdin=photo.read_bytes())
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "stdin.png").read_bytes() == expected
    (image,) = json.loads((tmp_path / "annotations.json").read_text())["images"]
    assert image["file_name"] == "stdin"
    for data in (b"", b"nothing"):
        done = hparse("predict", workdir, "--output=-", "-", stdin=data)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("hparse predict: standard input: not a readable photograph")


def test_existing_results_are_left_out(folder, tmp_path):
    call = ("predict", f"--workdir={folder / 'run'}", f"--output={tmp_path}", "--skip-existing")
    for photos, line in (("photos/b.jpg", "1 of 1"), ("photos", "1 of 1"), ("photos", "0 of 0")):
        done = hparse(*call, str(folder / photos))
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"{line} photographs parsed")
    assert done.stdout.endswith("; 2 had their results\n")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--formats=png,gif", "photos"), 1, "formats=gif: give png, overlay"),
        (("--formats=", "photos"), 1, "formats: none is given"),
        (("--classes=hare", "photos"), 1, "no class 'hare' in lip; did you mean hair?"),
        (("--classes=", "photos"), 1, "classes: none is given"),
        (("--legend=top", "photos"), 2, "--legend=top"),
        (("--map=nothing", "photos"), 1, "map=nothing: no such file; shipped are atr_cihp"),
        (("--map=atr_cihp", "photos"), 1, "says nothing about lip"),
        (("--map=lip_atr", "--classes=glove", "photos"), 1, "no class 'glove' in atr"),
        (("--formats=png", "--skip-existing", "photos"), 2, "needs json in --formats"),
        (("--watch", "photos", "more"), 2, "--watch takes one folder, not photos more"),
        (("--watch",), 2, "--watch takes one folder, not nothing"),
        (("--watch", "missing"), 2, "--watch takes one folder, not missing"),
        (("-", "photos"), 2, "- is one photograph on standard input"),
        (("-", "--watch"), 2, "are for files, not for standard input"),
        (("--split=test", "--formats=npz"), 2, "leave --formats out"),
        (("--split=test", "--map=lip_atr"), 2, "leave --map out"),
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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a.jpg", "b.jpg"), "--output=- is the label PNG of one photograph"),
        ((), "--output=- is the label PNG of one photograph"),
        ((".",), "--output=- is the label PNG of one photograph"),
        (("--formats=json", "-"), "leave --formats out"),
        (("--levels", "a.jpg"), "leave --levels out"),
        (("--split=test",), "give a folder"),
    ],
)
def test_standard_output_takes_one_label_map(folder, arguments, message):
    done = hparse("predict", f"--workdir={folder / 'run'}", "--output=-", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr.splitlines()[0]


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


def test_videos_are_parsed_beside_photographs_and_a_missing_one_fails_the_call(folder, tmp_path):
    write_video(tmp_path / "clip.mp4", (0, 40, 80))
    done = hparse(
        "predict",
        f"--workdir={folder / 'run'}",
        f"--output={tmp_path / 'out'}",
        "--formats=overlay,png",
        "--every=2",
        *map(str, (tmp_path / "clip.mp4", folder / "photos" / "b.jpg", tmp_path / "gone.mp4")),
    )
    assert done.returncode == 1
    assert f"{tmp_path / 'clip.mp4'}: 2 frames parsed" in done.stdout
    assert "1 of 1 photographs parsed" in done.stdout
    assert f"1 video failed:\n  {tmp_path / 'gone.mp4'}: no such file" in done.stderr
    names = {path.relative_to(tmp_path / "out").as_posix() for path in tmp_path.rglob("out/**/*.*")}
    frames = {"clip/000000.png", "clip/000002.png"}
    assert names == {"clip_overlay.mp4", "b.png", "b_overlay.jpg", *frames}


def test_a_video_that_has_its_results_is_passed_over(folder, tmp_path):
    write_video(tmp_path / "clip.mp4", (0, 40, 80))
    workdir, out = f"--workdir={folder / 'run'}", f"--output={tmp_path / 'out'}"
    for flag, line in (
        ("--every=2", "2 frames parsed into"),
        ("--every=2", "has its results"),
        ("--every=3", "1 frames parsed into"),
    ):
        done = hparse("predict", workdir, out, flag, "--skip-existing", str(tmp_path / "clip.mp4"))
        assert done.returncode == 0, done.stderr
        assert f"{tmp_path / 'clip.mp4'}: {line}" in done.stdout
    flags = ("--formats=json", "--skip-existing", str(tmp_path / "clip.mp4"))
    done = hparse("predict", workdir, out, *flags)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--skip_existing needs overlay in --formats for videos" in done.stderr


def test_a_watched_folder_with_a_bad_photo_ends_with_1(folder, tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "bad.jpg").write_bytes(b"nothing")

    looks = itertools.count(1)

    def until_third_look(seconds):
        if next(looks) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(watch.time, "sleep", until_third_look)
    output = f"--output={tmp_path / 'out'}"
    done = hparse("predict", f"--workdir={folder / 'run'}", output, "--watch", str(tmp_path / "in"))
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == f"0 of 1 photographs parsed into {tmp_path / 'out'}"
    assert "bad.jpg: not a readable photograph" in done.stderr


@pytest.mark.parametrize(
    ("flag", "code", "message"),
    [
        ("--every=0", 1, "--every=0: give a number above 0"),
        ("--smooth=1", 1, "--smooth=1.0: give a share from 0, below 1"),
        ("--smooth=0.5 --consistent", 2, "leave --consistent out"),
    ],
)
def test_wrong_flags_of_videos(folder, tmp_path, flag, code, message):
    arguments = (f"--workdir={folder / 'run'}", f"--output={tmp_path}", "clip.mp4")
    done = hparse("predict", *flag.split(), *arguments)
    assert (done.returncode, message in done.stderr) == (code, True), done.stderr
