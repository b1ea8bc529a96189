"""Scores of photos in memory, against scoring every photo by itself."""

import json
import pathlib

import numpy as np
import pytest

from hparse_jax.data.dataset import BuiltDataset
from hparse_jax.errors import InputError
from hparse_jax.inference.evaluate import evaluate, evaluate_split
from hparse_jax.inference.groups import Group
from hparse_jax.metrics import confusion_matrix, segmentation_scores


@pytest.fixture
def photos(people):
    rng = np.random.default_rng(0)
    made = []
    for i, size in enumerate([(90, 70), (97, 60), (120, 90), (33, 40), (128, 97)]):
        labels = rng.integers(0, 3, size, dtype=np.uint8)
        labels[rng.random(size) < 0.1] = 255
        made.append((str(i), people(*size), labels))
    return made


class Dataset(BuiltDataset):
    """A built dataset in memory with one split, "val"."""

    def __init__(self, photos):
        self.name, self.folder = "three", pathlib.Path("data/three/1.0.0")
        self.splits, self._photos = {"val": len(photos)}, photos

    def photos(self, split, hierarchy, process_index, process_count):
        assert split == "val"
        return iter(self._photos[process_index::process_count])


def by_hand(photos, parser, hierarchy, level):
    nodes = hierarchy.levels[level].nodes
    total = sum(
        confusion_matrix(
            hierarchy.labels_at(level, labels), parser(image).levels[level], len(nodes)
        )
        for _, image, labels in photos
    )
    return segmentation_scores(total, nodes)


def test_the_report_is_the_score_of_every_photo_at_its_own_size(photos, parser, hierarchy):
    report = evaluate_split(parser, Dataset(photos), "val", hierarchy, batch_size=2)
    assert {k: report[k] for k in ("dataset", "split", "step", "images", "scales", "flip")} == {
        "dataset": "three",
        "split": "val",
        "step": 7,
        "images": 5,
        "scales": [1.0],
        "flip": False,
    }
    for level, scores in enumerate(report["levels"]):
        expected = by_hand(photos, parser, hierarchy, level)
        assert scores == {"name": hierarchy.levels[level].name, **expected}
    json.dumps(report, allow_nan=False)


def test_scales_and_flip_are_those_of_the_predictor(photos, make_parser, hierarchy):
    predictor = make_parser(scales=(0.75, 1.25), flip=True)
    report = evaluate(predictor, photos, batch_size=3)
    assert (report["scales"], report["flip"]) == ([0.75, 1.25], True)
    assert report["levels"][0]["mean_iou"] == by_hand(photos, predictor, hierarchy, 0)["mean_iou"]


def test_a_group_is_scored_on_its_own_photos(photos, parser):
    chosen = ("1", "3", "4")
    group = Group("factors", "chosen", False, lambda photo_id, _: photo_id in chosen)
    empty = Group("factors", "none", True, lambda *_: False)
    report = evaluate(parser, photos, groups=(group, empty))
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


def test_a_split_without_photos_or_labels_is_an_input_error(parser, hierarchy, people):
    with pytest.raises(InputError, match="split val of three is empty"):
        evaluate_split(parser, Dataset([]), "val", hierarchy)
    unlabelled = [("0", people(60, 50), np.full((60, 50), 255, np.uint8))]
    with pytest.raises(InputError, match=r"split val of three has no labels .*predict --split"):
        evaluate_split(parser, Dataset(unlabelled), "val", hierarchy)
