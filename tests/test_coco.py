"""COCO run-lengths and annotations, as pycocotools reads and writes them."""

import numpy as np
import pytest
from pycocotools import mask as reference

from hparse_jax.coco import annotations, categories, run_lengths
from hparse_jax.hierarchy import Hierarchy, Level, get_hierarchy

# pycocotools 2.0.11 decodes through an interface that NumPy 2 wants to be extended
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def blobs(rng, size):
    """Large random regions: long runs, in which a number takes several characters."""
    rows, columns = rng.random(size[0]).cumsum(), rng.random(size[1]).cumsum()
    return np.sin(rows)[:, None] * np.cos(columns) > 0.2


def masks():
    rng = np.random.default_rng(0)
    one = np.zeros((7, 5), bool)
    one[3, 2] = True
    corners = np.zeros((600, 900), bool)
    corners[0, 0] = corners[-1, -1] = True
    yield from (one, corners, ~corners, np.zeros((9, 4), bool), np.ones((9, 4), bool))
    yield from (np.zeros((1, 1), bool), np.ones((1, 1), bool), np.ones((1, 40), bool))
    for size in ((13, 17), (64, 48), (1, 30), (30, 1)):
        yield from (rng.random(size) < density for density in (0.05, 0.5, 0.95))
    yield from (blobs(rng, (480, 640)), blobs(rng, (1200, 1600)))


@pytest.mark.parametrize("mask", list(masks()), ids=lambda mask: f"{mask.shape}-{mask.sum()}")
def test_run_lengths_are_those_of_pycocotools(mask):
    written = run_lengths(mask)
    expected = reference.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert written == {"size": list(mask.shape), "counts": expected["counts"].decode()}
    np.testing.assert_array_equal(reference.decode(written), mask)


def test_annotations_are_the_nodes_of_every_level():
    hierarchy = get_hierarchy("pascal_person_part")
    rng = np.random.default_rng(1)
    for size in ((20, 30), (31, 1), (3, 50)):
        leaves = rng.integers(0, 5, size, dtype=np.uint8)
        leaves[:, : size[1] // 2] = 0
        levels = [hierarchy.labels_at(i, leaves) for i in range(3)]
        found = annotations(levels, hierarchy, image_id=4, first_id=10)
        assert [a["id"] for a in found] == list(range(10, 10 + len(found)))
        assert {a["image_id"] for a in found} == {4}
        present = {i + 1000 * d for d in range(3) for i in np.unique(levels[d]).tolist() if i}
        assert [a["category_id"] for a in found] == sorted(present)
        for entry in found:
            depth, node = divmod(entry["category_id"], 1000)
            mask = levels[depth] == node
            np.testing.assert_array_equal(reference.decode(entry["segmentation"]), mask)
            assert entry["area"] == mask.sum()
            assert entry["bbox"] == reference.toBbox(entry["segmentation"]).tolist()


def test_annotations_of_some_classes_alone():
    hierarchy = get_hierarchy("pascal_person_part")
    leaves = np.arange(7, dtype=np.uint8).reshape(1, 7)
    levels = [hierarchy.labels_at(i, leaves) for i in range(3)]
    found = annotations(levels, hierarchy, classes=("head", "lower-body"))
    assert [a["category_id"] for a in found] == [1, 1002]
    assert [a["id"] for a in found] == [1, 2]


def test_unlabelled_pixels_are_in_no_annotation():
    hierarchy = get_hierarchy("pascal_person_part").leaves_only()
    assert annotations([np.full((3, 3), 255, np.uint8)], hierarchy) == []


def test_categories_are_numbered_by_level_and_point_to_their_parents():
    hierarchy = Hierarchy(
        "three",
        (
            Level("parts", ("background", "arm", "leg"), (0, 2, 1)),
            Level("halves", ("background", "lower", "upper"), (0, 1, 1)),
            Level("body", ("background", "person"), ()),
        ),
        palette=((0, 0, 0),) * 3,
    )
    assert [tuple(c.values()) for c in categories(hierarchy)] == [
        (1, "arm", "upper"),
        (2, "leg", "lower"),
        (1001, "lower", "person"),
        (1002, "upper", "person"),
        (2001, "person", "person"),
    ]
    assert set(categories(hierarchy)[0]) == {"id", "name", "supercategory"}
