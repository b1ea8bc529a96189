"""A split without labels -> the files that a benchmark's server takes."""

import io
import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from hparse_jax.data.build import build
from hparse_jax.data.dataset import BuiltDataset
from hparse_jax.errors import InputError
from hparse_jax.hierarchy import get_hierarchy
from hparse_jax.inference.submission import write_submission

SIZES = {"a": (100, 80), "b": (140, 60), "c": (41, 97)}


@pytest.fixture
def unlabelled(tmp_path, people, hierarchy):
    """A dataset whose split test has photos only."""
    raw = tmp_path / "raw"
    for folder in ("images", "labels"):
        (raw / folder).mkdir(parents=True)
    for name, size in {"t": (60, 60), **SIZES}.items():
        Image.fromarray(people(*size)).save(raw / "images" / f"{name}.png")
    Image.fromarray(np.zeros((60, 60), np.uint8)).save(raw / "labels" / "t.png")
    (raw / "train.txt").write_text("t")
    (raw / "test.txt").write_text("\n".join(SIZES))
    (tmp_path / "three.json").write_text(json.dumps(hierarchy.to_json()))
    tree = str(tmp_path / "three.json")
    build("folder", tmp_path / "data", raw, hierarchy=tree, name="three")
    return BuiltDataset("three", tmp_path / "data")


@pytest.mark.parametrize(("indexed", "mode"), [(False, "L"), (True, "P")])
def test_label_maps_are_named_by_id_at_the_photos_sizes_and_zipped(
    tmp_path, parser, people, unlabelled, indexed, mode
):
    archive = write_submission(parser, unlabelled, "test", tmp_path / "out", indexed=indexed)
    assert archive == tmp_path / "out" / "three_test.zip"
    with zipfile.ZipFile(archive) as members:
        assert sorted(members.namelist()) == [f"{name}.png" for name in SIZES]
        for name, size in SIZES.items():
            data = members.read(f"{name}.png")
            assert data == (tmp_path / "out" / f"{name}.png").read_bytes()
            with Image.open(io.BytesIO(data)) as picture:
                assert picture.mode == mode
                labels = np.asarray(picture)
            np.testing.assert_array_equal(labels, parser(people(*size)).labels)
            assert set(np.unique(labels)) == {0, 1, 2}


def test_a_failed_submission_leaves_no_zip(tmp_path, parser, unlabelled, monkeypatch):
    monkeypatch.setattr("hparse_jax.inference.submission.label_png", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_submission(parser, unlabelled, "test", tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_other_classes_are_refused(tmp_path, make_parser, unlabelled):
    parser = make_parser()
    unlabelled.hierarchy = get_hierarchy("lip")
    with pytest.raises(InputError, match="three has the classes of hierarchy lip, this parser"):
        write_submission(parser, unlabelled, "test", tmp_path / "out")
    assert not (tmp_path / "out").exists()
