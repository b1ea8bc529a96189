"""Confusion matrices and scores against counting by hand."""

import json
import math

import numpy as np
import pytest

from hparse_jax.metrics import confusion_matrix, segmentation_scores


def test_confusion_equals_counting_pixel_by_pixel():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, (2, 3, 7, 5), dtype=np.uint8)
    labels[rng.random(labels.shape) < 0.2] = 255
    predictions = rng.integers(0, 4, labels.shape, dtype=np.uint8)
    expected = np.zeros((4, 4), np.int64)
    for truth, guess in zip(labels.ravel().tolist(), predictions.ravel().tolist(), strict=True):
        if truth != 255:
            expected[truth, guess] += 1
    counted = confusion_matrix(labels, predictions, 4)
    assert counted.dtype == np.int64
    np.testing.assert_array_equal(counted, expected)


def test_confusion_of_nothing_is_zero():
    nothing = confusion_matrix(np.full((3, 3), 255, np.uint8), np.zeros((3, 3), np.uint8), 2)
    np.testing.assert_array_equal(nothing, np.zeros((2, 2)))


def test_what_is_predicted_on_ignored_pixels_does_not_matter():
    labels = np.array([[0, 255]], np.uint8)
    predictions = np.array([[0, 200]], np.uint8)
    np.testing.assert_array_equal(confusion_matrix(labels, predictions, 2), [[1, 0], [0, 0]])


@pytest.mark.parametrize(
    ("labels", "predictions", "message"),
    [([[7, 0]], [[0, 0]], r"label \[7\]"), ([[0, 0]], [[0, 9]], r"prediction \[9\]")],
)
def test_an_id_outside_the_classes_is_named(labels, predictions, message):
    with pytest.raises(ValueError, match=message):
        confusion_matrix(np.array(labels, np.uint8), np.array(predictions, np.uint8), 3)


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"\(2, 3\)"):
        confusion_matrix(np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8), 3)


def brute_force(labels, predictions, classes):
    """Every score from sets of pixels, one class at a time."""
    pixels = [i for i, label in enumerate(labels) if label != 255]
    rows = {}
    for c in range(classes):
        truth = {i for i in pixels if labels[i] == c}
        guess = {i for i in pixels if predictions[i] == c}
        if not truth | guess:
            continue
        hit = len(truth & guess)
        p = hit / len(guess) if guess else 0.0
        r = hit / len(truth) if truth else 0.0
        f = 2 * p * r / (p + r) if p + r else 0.0
        rows[c] = {"precision": p, "recall": r, "f1": f, "iou": hit / len(truth | guess)}

    def mean(key):
        return sum(row[key] for row in rows.values()) / len(rows)

    p, r = mean("precision"), mean("recall")
    foreground = [i for i in pixels if labels[i] > 0]
    return rows, {
        "pixel_accuracy": sum(labels[i] == predictions[i] for i in pixels) / len(pixels),
        "mean_accuracy": r,
        "mean_iou": mean("iou"),
        "foreground_accuracy": sum(labels[i] == predictions[i] for i in foreground)
        / len(foreground),
        "precision": p,
        "recall": r,
        "f1_of_means": 2 * p * r / (p + r),
        "mean_of_f1": mean("f1"),
    }


def test_scores_equal_brute_force_with_absent_and_invented_classes():
    rng = np.random.default_rng(1)
    labels = rng.choice([0, 1, 2, 5, 255], 200, p=[0.4, 0.3, 0.1, 0.1, 0.1]).astype(np.uint8)
    # class 3 is predicted but not there, class 4 neither, class 5 there but never predicted
    guesses = rng.choice([0, 1, 2, 3], 200).astype(np.uint8)
    predictions = np.where((rng.random(200) < 0.5) & (labels < 4), labels, guesses).astype(np.uint8)
    names = ["background", "a", "b", "invented", "absent", "missed"]
    scores = segmentation_scores(confusion_matrix(labels, predictions, 6), names)
    rows, expected = brute_force(labels.tolist(), predictions.tolist(), 6)
    for key, value in expected.items():
        assert scores[key] == pytest.approx(value), key
    for c, row in rows.items():
        for key, value in row.items():
            assert scores["per_class"][names[c]][key] == pytest.approx(value), (names[c], key)
    assert scores["absent"] == ["absent"]
    assert scores["iou"]["invented"] == 0
    assert scores["iou"]["absent"] is None
    assert scores["classes"] == 6
    assert scores["per_class"]["missed"]["pixels"] == int((labels == 5).sum())


def test_perfect_and_empty_matrices():
    perfect = segmentation_scores(np.diag([5, 3]))
    assert all(
        perfect[key] == 1.0
        for key in ("pixel_accuracy", "mean_iou", "foreground_accuracy", "f1_of_means")
    )
    empty = segmentation_scores(np.zeros((2, 2), np.int64), ["background", "body"])
    assert empty["mean_iou"] is None
    assert empty["absent"] == ["background", "body"]


def test_scores_are_plain_json_without_nan():
    text = json.dumps(segmentation_scores(np.array([[3, 0, 0], [1, 0, 0], [0, 0, 0]])))
    assert not math.isnan(json.loads(text)["mean_iou"])
    assert "NaN" not in text
