"""The verb `evaluate`, on photos in memory, against scoring every photo by itself."""

import json

import numpy as np
import pytest

from hparse_jax.data.buckets import group_by_canvas
from hparse_jax.errors import InputError
from hparse_jax.inference import evaluate as module
from hparse_jax.inference.evaluate import evaluate, table
from hparse_jax.metrics import confusion_matrix, segmentation_scores


@pytest.fixture
def photos(monkeypatch, people):
    rng = np.random.default_rng(0)
    items = []
    for i, size in enumerate([(90, 70), (97, 60), (120, 90), (33, 40), (128, 97)]):
        labels = rng.integers(0, 3, size, dtype=np.uint8)
        labels[rng.random(size) < 0.1] = 255
        items.append((str(i), people(*size), labels))

    def batches(config, hierarchy, split, batch_size, process_index=0, process_count=1):
        mine = items[process_index::process_count]
        return group_by_canvas(iter(mine), batch_size, config.mean)

    monkeypatch.setattr(module, "num_photos", lambda config, split: len(items))
    monkeypatch.setattr(module, "evaluation_batches", batches)
    return items


def by_hand(photos, parser, hierarchy, level):
    nodes = hierarchy.levels[level].nodes
    total = sum(
        confusion_matrix(
            hierarchy.labels_at(level, labels), parser(image).levels[level], len(nodes)
        )
        for _, image, labels in photos
    )
    return segmentation_scores(total, nodes)


def test_the_report_is_the_score_of_every_photo_at_its_own_size(
    photos, parser, config, hierarchy, variables, network
):
    report = evaluate(variables, network, config, hierarchy, step=5)
    assert {k: report[k] for k in ("dataset", "split", "step", "images", "scales", "flip")} == {
        "dataset": "three",
        "split": "val",
        "step": 5,
        "images": 5,
        "scales": [1.0],
        "flip": False,
    }
    for level, scores in enumerate(report["levels"]):
        expected = by_hand(photos, parser, hierarchy, level)
        assert scores == {"name": hierarchy.levels[level].name, **expected}
    json.dumps(report, allow_nan=False)


def test_scales_and_flip_are_those_of_the_parser(
    photos, make_parser, config, hierarchy, variables, network
):
    report = evaluate(
        variables, network, config, hierarchy, split="val", scales=(0.75, 1.25), flip=True
    )
    expected = by_hand(photos, make_parser(scales=(0.75, 1.25), flip=True), hierarchy, 0)
    assert report["levels"][0]["mean_iou"] == expected["mean_iou"]


def test_the_table_names_every_class_and_mean(photos, config, hierarchy, variables, network):
    report = evaluate(variables, network, config, hierarchy)
    text = table(report)
    for word in ("parts", "body", "left", "person", "mean", "foreground accuracy", "IoU"):
        assert word in text
    assert f"{100 * report['levels'][1]['mean_iou']:.2f}" in text


def test_an_empty_split_is_an_input_error(monkeypatch, config, hierarchy, variables, network):
    monkeypatch.setattr(module, "num_photos", lambda config, split: 0)
    with pytest.raises(InputError, match="split val"):
        evaluate(variables, network, config, hierarchy)


def test_sums_over_processes_are_exact_beyond_32_bits(monkeypatch):
    mine = [np.int64(3), np.array([[2**40 + 1, 7], [2**31, 0]])]
    monkeypatch.setattr(module.jax, "process_count", lambda: 3)
    monkeypatch.setattr(module.multihost_utils, "process_allgather", lambda x: np.stack([x, x, x]))
    images, matrix = module._sum_over_processes(mine)
    assert images == 9
    np.testing.assert_array_equal(matrix, 3 * mine[1])
