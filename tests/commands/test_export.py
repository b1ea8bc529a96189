"""The verb `export`."""

import jax
import pytest
from command_line import hparse
from raw_folders import jpeg, write

from hparse_jax.checkpoint import save_backbone, save_run
from hparse_jax.config import Config, ModelConfig
from hparse_jax.hierarchy import get_hierarchy
from hparse_jax.models.build import build_backbone, build_model, initial_variables
from hparse_jax.workdir import BackboneSettings

TINY = ModelConfig(name="deeplab_largefov", width=0.02, dtype="float32")
CLOTHES = get_hierarchy("fashion_clothing")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """run: a parser of a crop of 33 x 30; backbone: a VGG-16; photos: one; file: anything."""
    folder = tmp_path_factory.mktemp("export")
    config = Config(dataset="fashion_clothing", crop=(33, 30), model=TINY)
    save_run(folder / "run", config, CLOTHES, initial_variables(build_model(TINY, CLOTHES), 0))
    settings = BackboneSettings("vgg", TINY, config.mean, config.std, "rgb")
    backbone = initial_variables(build_backbone("vgg", TINY), 0)
    save_backbone(folder / "backbone", settings, backbone)
    write(folder / "photos" / "photo.jpg", jpeg((48, 40), 1))
    (folder / "file").touch()
    return folder


@pytest.mark.parametrize("form", ["onnx", "stablehlo"])
def test_what_was_written_and_how_well_it_agrees_is_said(form, folder, tmp_path):
    out = tmp_path / "parser"
    photos = folder / "photos"
    done = hparse(
        "export",
        f"--workdir={folder / 'run'}",
        f"--output={out}",
        f"--format={form}",
        f"--photos={photos}",
    )
    assert done.returncode == 0, done.stderr
    rounded, noise, photographs, last = done.stdout.splitlines()
    assert rounded == "canvas of 33 x 33 pixels: sides are rounded up to 16 k + 1"
    for line, pictures in ((noise, "random images"), (photographs, "photographs")):
        assert line.startswith(f"{pictures}: largest difference ")
        assert line.endswith("% of labels equal")
    assert last.startswith(f"{out}: {form}, 33 x 33 pixels, ")
    assert out.is_file()


def test_int8_is_calibrated_on_a_folder(folder, tmp_path):
    out = tmp_path / "parser.onnx"
    done = hparse(
        "export",
        f"--workdir={folder / 'run'}",
        f"--output={out}",
        "--format=onnx",
        f"--int8={folder / 'photos'}",
    )
    assert done.returncode == 0, done.stderr
    *_, calibrated, last = done.stdout.splitlines()
    assert calibrated.startswith("photographs, int8: largest difference ")
    assert last.startswith(f"{out}: onnx in int8, 33 x 33 pixels, ")


def test_the_canvas_has_the_size_that_was_asked_for(folder, tmp_path):
    out = tmp_path / "parser"
    done = hparse(
        "export",
        f"--workdir={folder / 'run'}",
        f"--output={out}",
        "--format=stablehlo",
        "--size=49,17",
        "--batch=2",
    )
    assert done.returncode == 0, done.stderr
    assert "rounded" not in done.stdout
    images, sizes = jax.export.deserialize(bytearray(out.read_bytes())).in_avals
    assert (images.shape, sizes.shape) == ((2, 49, 17, 3), (2, 2))


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 1, "{file}: exists already; remove it, or give another name"),
        (["--output={tmp}/a", "--workdir={backbone}"], 1, "imported backbone, which parses noth"),
        (["--output={tmp}/a", "--workdir={tmp}"], 1, "not a workdir"),
        (
            ["--output={tmp}/a", "--format=tflite"],
            2,
            "--format=tflite: value should be one of <onnx|stablehlo>",
        ),
        (["--output={tmp}/a", "--size=33"], 1, "--size=33: give height and width"),
        (["--output={tmp}/a", "--size=33,x"], 1, "--size=33,x: give whole numbers in 17..4096"),
        (["--output={tmp}/a", "--batch=0"], 1, "--batch=0: give a number above 0"),
        (["--output={tmp}/a", "--photos={tmp}"], 1, "no photograph found in {tmp}"),
        (["--output={tmp}/a", "--int8={tmp}"], 1, "--int8={tmp}: is for --format=onnx, not stable"),
        (
            ["--output={tmp}/a", "--format=onnx", "--int8={tmp}"],
            1,
            "no photograph found in {tmp}",
        ),
        (["--output={tmp}/a", "photo.jpg"], 2, "no arguments but flags"),
    ],
)
def test_what_cannot_be_exported_is_one_line(folder, tmp_path, arguments, code, message):
    places = {name: folder / name for name in ("run", "backbone", "file")} | {"tmp": tmp_path}
    given = {"--workdir": "{run}", "--output": "{file}", "--format": "stablehlo"}
    given |= dict(a.split("=") for a in arguments if "=" in a)
    flags = [f"{name}={value}" for name, value in given.items()]
    flags += [a for a in arguments if "=" not in a]
    done = hparse("export", *(flag.format(**places) for flag in flags))
    assert done.returncode == code
    assert message.format(**places) in done.stderr
    assert done.stderr.count("\n") == code  # with wrong usage the usage follows
    assert not list(tmp_path.iterdir())
