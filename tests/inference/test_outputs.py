"""The files of one photograph."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from hparse_jax.errors import InputError
from hparse_jax.hierarchy import Hierarchy, Level
from hparse_jax.inference.outputs import FORMATS, Outputs
from hparse_jax.storage import write_bytes


@pytest.fixture
def result(parser, people, tmp_path):
    """Of a photo that lies beside its results' folder."""
    Image.fromarray(people(50, 40)).save(tmp_path / "photo.png")
    return parser(tmp_path / "photo.png")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def written(outputs, result, folder):
    """{name: path} of what is written for a photo called a."""
    return {path.name: path for path in outputs.write(result, folder / "a")}


def test_every_format_has_its_files_and_the_json_is_last(folder, result, hierarchy):
    outputs = Outputs(hierarchy, FORMATS, levels=True)
    files = written(outputs, result, folder)
    assert {path.name for path in folder.iterdir()} == set(files)
    assert set(files) == {f"a{ending}" for ending in outputs.endings()}
    assert list(files)[-1] == "a.json"
    np.testing.assert_array_equal(Image.open(files["a.png"]), result.labels)
    np.testing.assert_array_equal(Image.open(files["a_body.png"]), result.levels[1])
    np.testing.assert_array_equal(Image.open(files["a_cutout.png"]), result.cutout())
    np.testing.assert_array_equal(Image.open(files["a_crop_left.png"]), result.crop("left"))
    polygons = json.loads(files["a_polygons.json"].read_text())
    assert {shape["label"] for shape in polygons["shapes"]} == {"left", "right"}
    assert polygons["imagePath"] == "../photo.png"
    assert json.loads(files["a.json"].read_text())["photo"].endswith("photo.png")


def test_npz_holds_the_probabilities_of_every_level(folder, result, hierarchy):
    files = written(Outputs(hierarchy, ("npz",)), result, folder)
    with np.load(files["a.npz"]) as arrays:
        assert arrays.files == ["parts", "body"]
        for i, name in enumerate(arrays.files):
            values = arrays[name]
            assert (values.dtype, values.shape[:2]) == (np.float16, (50, 40))
            np.testing.assert_allclose(values, result.probabilities(i), atol=1e-3)
            np.testing.assert_allclose(values.sum(-1, dtype=np.float32), 1, atol=2e-3)


def test_classes_restrict_pictures_polygons_and_crops(folder, result, hierarchy):
    formats = ("png", "overlay", "json", "polygons", "cutout", "crops")
    outputs = Outputs(hierarchy, formats, classes=("left",), legend="none")
    files = written(outputs, result, folder)
    assert [name for name in files if "_crop_" in name] == ["a_crop_left.png"]
    left = result.mask("left")
    np.testing.assert_array_equal(np.asarray(Image.open(files["a_cutout.png"]))[..., 3] > 0, left)
    tree = json.loads(files["a_polygons.json"].read_text())
    assert {shape["label"] for shape in tree["shapes"]} == {"left"}
    overlay = np.asarray(Image.open(files["a_overlay.jpg"])).astype(int)
    assert overlay.shape == (50, 40, 3)
    right = result.mask("right")
    right[:, :24] = False  # away from the outline
    assert abs(overlay - result.image())[right].max() < 25
    np.testing.assert_array_equal(Image.open(files["a.png"]), result.labels)
    assert len(json.loads(files["a.json"].read_text())["levels"][0]["classes"]) == 3


def test_a_class_name_that_is_no_file_name_is_encoded(folder, result):
    nodes = ("background", "t-shirt/top", 'a:"b"')
    tree = Hierarchy("odd", (Level("all", nodes, ()),), palette=((0, 0, 0),) * 3)
    result = dataclasses.replace(result, levels=(result.labels,), hierarchy=tree, gates=({},))
    files = written(Outputs(tree, ("crops",)), result, folder)
    assert list(files) == ["a_crop_t-shirt%2Ftop.png", "a_crop_a%3A%22b%22.png"]
    assert all(path.parent == folder for path in files.values())


def test_results_are_complete_when_all_files_are_there_as_asked(folder, result, hierarchy):
    outputs = Outputs(hierarchy, levels=True, origin={"step": 7, "scales": (1.0,)})
    files = written(outputs, result, folder)
    assert outputs.are_complete(folder / "a")
    assert not outputs.are_complete(folder / "b")
    for change in (
        {"formats": ("png", "json")},
        {"classes": ("left",)},
        {"legend": "none"},
        {"levels": False},
        {"origin": {"step": 8, "scales": (1.0,)}},
    ):
        other = Outputs(**{**vars(outputs), **change})
        assert not other.are_complete(folder / "a"), change
    for path in files.values():
        data = path.read_bytes()
        path.unlink()
        assert not outputs.are_complete(folder / "a"), path
        write_bytes(path, data)
    for text in (b"{", b"[]", b"{}", b"\xff"):
        (folder / "a.json").write_bytes(text)
        assert not outputs.are_complete(folder / "a")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"formats": ("png", "gif")}, "formats=gif: give png, overlay, json, npz"),
        ({"formats": ()}, "formats: none is given"),
        ({"legend": "top"}, "legend=top: give none, side"),
        ({"classes": ("lefd",)}, "no class 'lefd' in three; did you mean left"),
        ({"classes": ()}, "classes: none is given"),
        ({"classes": ("background",)}, "classes=background"),
    ],
)
def test_what_cannot_be_written_is_told(hierarchy, options, message):
    with pytest.raises(InputError, match=message):
        Outputs(hierarchy, **options)
