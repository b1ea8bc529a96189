"""Scores of parts of a split, of other input sizes, and over common classes."""

import json

import numpy as np
import pytest

from hparse_jax.errors import InputError
from hparse_jax.hierarchy import Hierarchy, Level, get_hierarchy
from hparse_jax.inference import evaluate as module
from hparse_jax.inference.correspondence import read_correspondence
from hparse_jax.inference.evaluate import evaluate
from hparse_jax.inference.groups import Group, factors, object_sizes
from hparse_jax.metrics import confusion_matrix, segmentation_scores

LIP = get_hierarchy("lip")


@pytest.fixture
def photos(people):
    """Seven photos whose labels are now and then wrong."""
    rng = np.random.default_rng(0)
    made = []
    for i in range(7):
        h, w = rng.integers(60, 129, 2).tolist()
        labels = rng.integers(0, 3, (h, w)).astype(np.uint8)
        labels[: h // 4] = 255
        made.append((f"photo{i}", people(h, w), labels))
    return made


@pytest.fixture
def score(monkeypatch, photos, network, config, hierarchy, variables):
    from hparse_jax.data.buckets import group_by_canvas

    def batches(config, hierarchy, split, size, index, count):
        return group_by_canvas(iter(photos[index::count]), size, config.mean)

    monkeypatch.setattr(module, "num_photos", lambda config, split: len(photos))
    monkeypatch.setattr(module, "evaluation_batches", batches)
    monkeypatch.setattr(module, "evaluation_photos", lambda *_: iter(photos))

    def score(**options):
        return evaluate(variables, network, config, hierarchy, split="val", **options)

    return score


def test_a_group_is_scored_on_its_own_photos(score, photos, parser):
    chosen = ("photo1", "photo4", "photo5")
    group = Group("factors", "chosen", False, lambda photo_id, _: photo_id in chosen)
    empty = Group("factors", "none", True, lambda *_: False)
    report = score(groups=(group, empty))
    matrix = sum(
        confusion_matrix(labels, parser(image).labels, 3)
        for photo_id, image, labels in photos
        if photo_id in chosen
    )
    expected = segmentation_scores(matrix, ["background", "left", "right"])
    assert report["factors"]["chosen"] == {"images": 3, "derived": False, **expected}
    assert report["factors"]["none"]["images"] == 0
    assert report["factors"]["none"]["mean_iou"] is None
    json.dumps(report, allow_nan=False)


def test_photos_are_shown_at_the_input_size(score, photos, parser):
    """At its own longer side a photo is parsed as it is."""
    side = max(photos[0][2].shape)
    (photo,) = [p for p in photos if p[0] == "photo0"]
    photos[:] = [photo]
    same, own = score(side=side)["levels"], score()["levels"]
    for a, b in zip(same, own, strict=True):
        assert a["pixel_accuracy"] == pytest.approx(b["pixel_accuracy"], abs=0.01)


def test_small_input_sizes_show_small_photos(score, photos):
    """Every 8th column, all that the network would see of the photo, has the other side's colour;
    at a third of the size each pixel is a mean of three columns, two of them right."""
    columns = np.arange(72)
    labels = np.tile(np.where(columns < 36, 1, 2).astype(np.uint8), (96, 1))
    seen = np.where(columns % 8 == 0, 3 - labels, labels)
    image = np.array([[0, 0, 0], [250, 40, 40], [40, 40, 250]], np.uint8)[seen]
    photos[:] = [("stripes", image, labels)]
    assert score()["levels"][0]["pixel_accuracy"] < 0.1
    (small, _) = score(side=32)["levels"]
    assert small["pixel_accuracy"] > 0.95
    assert {n: c["pixels"] for n, c in small["per_class"].items()} == {
        "background": 0,
        "left": 96 * 36,
        "right": 96 * 36,
    }


def test_object_sizes_are_foreground_pixels():
    names = {group.name: group for group in object_sizes()}

    def holding(pixels):
        labels = np.zeros((400, 400), np.uint8)
        labels.reshape(-1)[:pixels] = 3
        labels.reshape(-1)[-50:] = 255
        return [name for name, group in names.items() if group.holds("x", labels)]

    assert holding(153**2 - 1) == ["small"]
    assert holding(153**2) == holding(321**2 - 1) == ["medium"]
    assert holding(321**2) == ["large"]


def test_derived_factors_follow_the_labels():
    groups = {g.name: g for g in factors(["derived"], LIP, lambda: ())}
    assert all(g.derived for g in groups.values())

    def of(*ids):
        labels = np.array([[0, *ids]], np.uint8)
        return {name for name, g in groups.items() if g.holds("x", labels)}

    hair, arm, pants, left_leg, right_shoe = 2, 14, 9, 16, 19
    assert of(hair, arm) == {"upper-body"}
    assert of(hair, right_shoe) == {"full-body"}
    assert of(hair, pants) == of(hair, left_leg) == set()
    assert of(arm, right_shoe) == {"head-missed"}


def test_lists_name_photos_of_the_split(tmp_path):
    path = tmp_path / "back-view.txt"
    path.write_bytes(b"a\r\nb")
    (group,) = factors([str(path)], LIP, lambda: {"a", "b", "c"})
    labels = np.zeros((1, 1), np.uint8)
    assert (group.name, group.derived) == ("back-view", False)
    assert [group.holds(i, labels) for i in "abc"] == [True, True, False]
    for known, text, message in (
        ({"a"}, "a\nzebra", "1 ids are not in the split, the first is zebra"),
        ({"a"}, "", "lists no photo"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=rf"back-view\.txt: {message}"):
            factors([str(path)], LIP, lambda known=known: known)
    with pytest.raises(InputError, match="no such list"):
        factors([str(tmp_path / "gone.txt")], LIP, lambda: ())
    path.write_text("a")
    with pytest.raises(InputError, match="back-view twice"):
        factors([str(path)] * 2, LIP, lambda: {"a"})


def test_derived_factors_of_pascal_person_part():
    groups = factors(["derived"], get_hierarchy("pascal_person_part"), lambda: ())

    def of(*ids):
        labels = np.array([[0, *ids]], np.uint8)
        return {group.name for group in groups if group.holds("x", labels)}

    head, torso, upper_leg, lower_leg = 1, 2, 5, 6
    assert of(head, lower_leg) == {"full-body"}
    assert of(head, torso) == {"upper-body"}
    assert of(head, upper_leg) == set()
    assert of(torso) == {"head-missed"}


def test_factors_cannot_be_derived_without_joints():
    with pytest.raises(InputError, match="defines no joints"):
        factors(["derived"], get_hierarchy("fashion_clothing"), lambda: ())


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


def test_common_classes_are_scored_alone(tmp_path, score, photos, parser, hierarchy, other):
    (tmp_path / "common.json").write_text(json.dumps(TREE))
    common = read_correspondence(str(tmp_path / "common.json"), hierarchy, other)
    rng = np.random.default_rng(1)
    photos[:] = [
        (i, image, np.where(labels == 255, 255, rng.integers(0, 4, labels.shape)).astype(np.uint8))
        for i, image, labels in photos
    ]
    (level,) = score(common=(other, common))["levels"]
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
    with pytest.raises(InputError, match="shipped are lip_atr"):
        read_correspondence("atr_lip", LIP, LIP)
