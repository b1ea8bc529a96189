"""Scores over the classes that two datasets have in common."""

import json

import numpy as np
import pytest

from hparse_jax.errors import InputError
from hparse_jax.hierarchy import Hierarchy, Level, get_hierarchy
from hparse_jax.inference.correspondence import read_correspondence
from hparse_jax.inference.evaluate import evaluate
from hparse_jax.metrics import segmentation_scores

LIP = get_hierarchy("lip")


@pytest.fixture
def other():
    """Another dataset's classes: sides the other way round, and a bag."""
    return Hierarchy(
        "other",
        (Level("parts", ("background", "bag", "r", "l"), ()),),
        palette=((0, 0, 0), (1, 1, 1), (2, 2, 2), (3, 3, 3)),
    )


TREE = {
    "classes": ["background", "L"],
    "three": {"background": "background", "left": "L", "right": None},
    "other": {"background": "background", "bag": None, "r": "background", "l": "L"},
}


def test_common_classes_are_scored_alone(tmp_path, people, parser, hierarchy, other):
    (tmp_path / "common.json").write_text(json.dumps(TREE))
    common = read_correspondence(str(tmp_path / "common.json"), hierarchy, other)
    rng = np.random.default_rng(1)
    photos = []
    for i, size in enumerate([(90, 70), (60, 97), (120, 100)]):
        labels = rng.integers(0, 4, size).astype(np.uint8)
        labels[: size[0] // 4] = 255
        photos.append((str(i), people(*size), labels))
    (level,) = evaluate(parser, photos, common=common)["levels"]
    matrix = np.zeros((2, 2), np.int64)
    for _, image, labels in photos:
        predicted = parser(image).labels
        for truth, seen in zip(labels.ravel(), predicted.ravel(), strict=True):
            if truth not in (1, 255):  # the bag has no counterpart
                matrix[int(truth == 3), int(seen == 1)] += 1
    assert level == {"name": "common", **segmentation_scores(matrix, ["background", "L"])}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t["other"].pop("bag"), "does not cover other: missing are bag"),
        (lambda t: t["three"].update(tail="L"), "classes that three does not have: tail"),
        (lambda t: t["three"].update(left="M"), "common classes that are not listed: M"),
        (lambda t: t["three"].update(left=None), "gives three no class for L"),
        (lambda t: t.pop("three"), "no correspondence of three and other"),
        (lambda t: t.update(classes=["L", "background"]), "must be background"),
        (lambda t: t.update(classes=["background", "L", "L"]), "texts, each once"),
        (lambda t: t.update(classes=["background", "L", 3]), "texts, each once"),
    ],
)
def test_a_correspondence_that_does_not_cover_is_named(tmp_path, hierarchy, other, change, message):
    tree = json.loads(json.dumps(TREE))
    change(tree)
    path = tmp_path / "common.json"
    path.write_text(json.dumps(tree))
    with pytest.raises(InputError, match=message):
        read_correspondence(str(path), hierarchy, other)


# the names that LIP and ATR share, by the ids of both; LIP's coats are ATR's upper clothes
LIP_AND_ATR = {
    "background": ((0,), (0,)),
    "hat": ((1,), (1,)),
    "hair": ((2,), (2,)),
    "sunglasses": ((4,), (3,)),
    "upper-clothes": ((5, 7), (4,)),
    "skirt": ((12,), (5,)),
    "pants": ((9,), (6,)),
    "dress": ((6,), (7,)),
    "left-shoe": ((18,), (9,)),
    "right-shoe": ((19,), (10,)),
    "face": ((13,), (11,)),
    "left-leg": ((16,), (12,)),
    "right-leg": ((17,), (13,)),
    "left-arm": ((14,), (14,)),
    "right-arm": ((15,), (15,)),
    "scarf": ((11,), (17,)),
}


def test_the_shipped_correspondence_of_lip_and_atr():
    common = read_correspondence("lip_atr", LIP, get_hierarchy("atr"))
    assert set(common.classes) == set(LIP_AND_ATR)
    predicted, truth = np.zeros(20, np.uint8), np.full(18, 255, np.uint8)
    for name, (lip, atr) in LIP_AND_ATR.items():
        predicted[list(lip)] = truth[list(atr)] = common.classes.index(name)
    np.testing.assert_array_equal(common.predicted[:20], predicted)
    np.testing.assert_array_equal(common.truth[:18], truth)
    with pytest.raises(InputError, match=r"shipped are .* lip_atr,"):
        read_correspondence("atr_lip", LIP, LIP)
