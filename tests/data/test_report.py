"""The picture of a built dataset: samples at every level, and what it needs to be drawn."""

import importlib.util
import shutil

import numpy as np
import pytest
from PIL import Image
from raw_folders import encoded, jpeg, png, random_labels, write, write_people

from hparse_jax.data import report
from hparse_jax.data.build import build
from hparse_jax.data.dataset import BuiltDataset
from hparse_jax.errors import InputError

SIZES = {"a": (6, 5), "b": (9, 4), "c": (3, 12), "d": (20, 7), "e": (11, 11)}  # height, width
MAGENTA = (255, 0, 255)


@pytest.fixture
def raw(tmp_path):
    """Five photos of noise for training; b is magenta."""
    for seed, (name, size) in enumerate(SIZES.items()):
        write(tmp_path / "raw" / "images" / f"{name}.jpg", jpeg(size, seed))
        write(tmp_path / "raw" / "labels" / f"{name}.png", png(random_labels(size, seed)))
    flat = encoded(Image.new("RGB", SIZES["b"][::-1], MAGENTA), "JPEG", quality=100, subsampling=0)
    write(tmp_path / "raw" / "images" / "b.jpg", flat)
    write(tmp_path / "raw" / "train.txt", "\n".join(SIZES))
    return tmp_path / "raw"


def build_people(raw, **options):
    """Builds the folder as dataset `people`; returns its folder."""
    hierarchy = write_people(raw.parent / "people.json")
    data_dir = raw.parent / "data"
    return build("folder", data_dir, raw, hierarchy=hierarchy, name="people", **options)


def test_the_report_shows_photos_with_the_labels_of_every_level(raw):
    target = build_people(raw, report=True)
    widths = {name: round(320 * w / h) for name, (h, w) in SIZES.items()}
    with Image.open(target / "report.jpg") as picture:
        assert picture.format == "JPEG"
        assert picture.width >= 3 * max(widths.values())  # photo, parts, whole
        assert picture.height >= 5 * 320
        pixels = np.asarray(picture).astype(int)
    seen = (np.abs(pixels - MAGENTA).max(-1) < 12).sum()
    assert seen >= 0.95 * 320 * widths["b"]


def test_bars_are_as_long_as_the_classes_are_frequent(raw):
    """Head in five photos, the left arm in three, the right arm in one."""
    classes = {"a": 4, "b": 3, "c": 3, "d": 2, "e": 2}
    for name, count in classes.items():
        ids = np.arange(np.prod(SIZES[name])) % count
        write(raw / "labels" / f"{name}.png", png(ids.reshape(SIZES[name])))
    build_people(raw)
    dataset = BuiltDataset("people", raw.parent / "data")
    chart = report._chart(dataset)
    first_panel = chart[:, : chart.shape[1] // 2].astype(int)
    lengths = [
        (np.abs(first_panel - colour).max(-1) < 3).sum(1).max()
        for colour in dataset.hierarchy.palette[1:]
    ]
    np.testing.assert_allclose(lengths, lengths[0] * np.array([1, 3 / 5, 1 / 5]), atol=3)


def test_the_same_dataset_gives_the_same_picture_whatever_matplotlibrc_says(raw):
    import matplotlib

    target = build_people(raw, report=True)
    first = (target / "report.jpg").read_bytes()
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "black"}):
        report.draw_report(BuiltDataset("people", raw.parent / "data"))
    assert (target / "report.jpg").read_bytes() == first


def test_a_report_is_drawn_of_a_dataset_that_is_already_there(raw):
    target = build_people(raw)
    before = {path.name: path.read_bytes() for path in target.iterdir()}
    shutil.rmtree(raw)
    build_people(raw, report=True)
    after = {path.name: path.read_bytes() for path in target.iterdir()}
    assert after.pop("report.jpg")[:2] == b"\xff\xd8"
    assert after == before


def test_without_matplotlib_a_report_is_refused_before_anything_is_built(raw, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "matplotlib" else find(name)
    )
    with pytest.raises(InputError) as caught:
        build_people(raw, report=True)
    assert str(caught.value) == "report needs matplotlib: pip install 'hparse_jax[charts]'"
    assert not (raw.parent / "data").exists()
    assert (build_people(raw) / "dataset_info.json").is_file()
