"""annotations.json, read by pycocotools."""

import contextlib
import io
import json

import numpy as np
import pytest
from pycocotools.coco import COCO

from hparse_jax.errors import InputError
from hparse_jax.hierarchy import get_hierarchy
from hparse_jax.inference.coco_file import coco_entry, coco_file
from hparse_jax.inference.result import Result

# pycocotools 2.0.11 decodes through an interface that NumPy 2 wants to be extended
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

TREE = get_hierarchy("pascal_person_part")


def drawn(seed, size):
    labels = np.random.default_rng(seed).integers(0, 7, size, dtype=np.uint8)
    levels = tuple(TREE.labels_at(i, labels) for i in range(3))
    return Result(labels, levels, TREE, ({},) * 3, lambda level: None)


def assert_holds(path, results):
    """The file gives back every level of the results {name: result} exactly, and nothing else."""
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(path)
    assert [image["file_name"] for image in coco.loadImgs(coco.getImgIds())] == list(results)
    assert len({a["id"] for a in coco.dataset["annotations"]}) == len(coco.dataset["annotations"])
    for image in coco.dataset["images"]:
        result = results[image["file_name"]]
        assert (image["height"], image["width"]) == result.labels.shape
        again = [np.zeros_like(labels) for labels in result.levels]
        for annotation in coco.loadAnns(coco.getAnnIds(image["id"])):
            depth, node = divmod(annotation["category_id"], 1000)
            again[depth][coco.annToMask(annotation) > 0] = node
        for ours, theirs in zip(result.levels, again, strict=True):
            np.testing.assert_array_equal(theirs, ours)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "out" / "annotations.json"


def test_pycocotools_gives_back_the_masks(path):
    results = {"a.jpg": drawn(0, (20, 31)), "sub/b.png": drawn(1, (1, 1)), "c": drawn(2, (40, 9))}
    with coco_file(path, TREE, resume=False) as file:
        for name, result in results.items():
            file.add(name, coco_entry(result, None))
        assert not path.exists()
    assert_holds(path, results)
    assert [p.name for p in path.parent.iterdir()] == ["annotations.json"]


def test_a_call_without_photos_makes_a_valid_file(path):
    with coco_file(path, TREE, resume=False):
        pass
    assert_holds(path, {})


def test_a_later_call_continues_and_replaces(path):
    first = {"a": drawn(0, (9, 9)), "b": drawn(1, (9, 9))}
    second = {"b": drawn(2, (12, 9)), "c": drawn(3, (9, 9))}
    for results in (first, second):
        with coco_file(path, TREE, resume=True) as file:
            assert ("a" in file) == (results is second)
            for name, result in results.items():
                file.add(name, coco_entry(result, None))
    assert_holds(path, first | second)


def test_ctrl_c_leaves_a_file_of_what_is_done_and_an_error_none(path):
    result = drawn(0, (9, 9))
    for error, stays in ((ValueError, False), (KeyboardInterrupt, True)):
        with contextlib.suppress(error), coco_file(path, TREE, resume=False) as file:
            file.add("a", coco_entry(result, None))
            raise error
        assert path.exists() == stays
    assert_holds(path, {"a": result})


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"images": [{"id": 1}], "annotations": []}'])
def test_a_file_that_is_something_else_is_not_continued(path, text):
    path.parent.mkdir()
    path.write_text(text)
    with (
        pytest.raises(InputError, match=r"annotations\.json: not a COCO file .*--skip_existing"),
        coco_file(path, TREE, resume=True),
    ):
        pass
    assert path.read_text() == text


def test_a_file_of_other_classes_is_not_continued(path):
    with coco_file(path, TREE, resume=False):
        pass
    before = json.loads(path.read_text())
    with (
        pytest.raises(InputError, match="has the categories of other classes"),
        coco_file(path, get_hierarchy("lip"), resume=True),
    ):
        pass
    assert json.loads(path.read_text()) == before
