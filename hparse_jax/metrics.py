"""Scores of label maps from one confusion matrix over a whole split, at original image size.

LIP, PASCAL-Person-Part and CIHP report pixel accuracy, mean accuracy and mean IoU; ATR and Fashion
Clothing pixel and foreground accuracy, precision, recall and F1 (CNIF section 4.1). One matrix
gives both families.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int64, Integer

from hparse_jax.hierarchy import IGNORE


def confusion_matrix(
    labels: Integer[np.ndarray, "..."],
    predictions: Integer[np.ndarray, "..."],
    num_classes: int,
    ignore: int = IGNORE,
) -> Int64[np.ndarray, "c c"]:
    """Pixel counts: row = ground truth, column = prediction; exact, so matrices can be added.

    Pixels whose label is `ignore` do not count, whatever the prediction. Raises ValueError
    when the shapes differ or when a counted label or prediction is not in 0..num_classes-1.
    """
    labels, predictions = np.asarray(labels), np.asarray(predictions)
    if labels.shape != predictions.shape:
        raise ValueError(f"labels are {labels.shape}, predictions {predictions.shape}")
    counted = labels != ignore
    labels, predictions = labels[counted], predictions[counted]
    for what, values in (("label", labels), ("prediction", predictions)):
        if values.size and not 0 <= values.min() <= values.max() < num_classes:
            wrong = np.unique(values[(values < 0) | (values >= num_classes)]).tolist()
            raise ValueError(f"{what} {wrong} is not in 0..{num_classes - 1}")
    pairs = labels.astype(np.int64) * num_classes + predictions
    return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def segmentation_scores(
    confusion: Integer[np.ndarray, "c c"], names: Sequence[str] | None = None
) -> dict:
    """The scores of one level: fractions in [0, 1]; None (null in JSON) where there are none.

    A class without a pixel in the ground truth and in the prediction is left out of every mean and
    listed in "absent"; a class that is predicted but not in the ground truth counts with 0, and so
    does the precision of a class that is never predicted. Class 0 is the background: part of the
    means, but not of the foreground accuracy. `f1_of_means` is the harmonic mean of mean precision
    and mean recall (CNIF's own rows), `mean_of_f1` the mean of the classes' F1 (older rows).
    Names default to the class ids.
    """
    confusion = np.asarray(confusion)
    names = [str(i) for i in range(len(confusion))] if names is None else list(names)
    if confusion.shape != (len(names), len(names)):
        raise ValueError(f"a confusion matrix of shape {confusion.shape} for {len(names)} names")
    truth, predicted, correct = confusion.sum(1), confusion.sum(0), np.diagonal(confusion)
    present = truth + predicted > 0
    recall = _ratio(correct, truth)
    precision = _ratio(correct, predicted)
    iou = _ratio(correct, truth + predicted - correct)
    f1 = _ratio(2 * correct, truth + predicted)  # = 2 p r / (p + r)

    def mean(values: np.ndarray) -> float | None:
        return float(values[present].mean()) if present.any() else None

    mean_precision, mean_recall = mean(precision), mean(recall)
    fractions = {"precision": precision, "recall": recall, "f1": f1, "iou": iou}
    per_class = {
        name: {key: float(x[i]) if present[i] else None for key, x in fractions.items()}
        | {"pixels": int(truth[i]), "predicted_pixels": int(predicted[i])}
        for i, name in enumerate(names)
    }
    return {
        "classes": len(names),
        "pixel_accuracy": _fraction(correct.sum(), truth.sum()),
        "mean_accuracy": mean_recall,
        "mean_iou": mean(iou),
        "iou": {name: scores["iou"] for name, scores in per_class.items()},
        "foreground_accuracy": _fraction(correct[1:].sum(), truth[1:].sum()),
        "precision": mean_precision,
        "recall": mean_recall,
        "f1_of_means": _harmonic_mean(mean_precision, mean_recall),
        "mean_of_f1": mean(f1),
        "per_class": per_class,
        "absent": [name for name, there in zip(names, present, strict=True) if not there],
    }


def _ratio(count: np.ndarray, total: np.ndarray) -> np.ndarray:
    return count / np.maximum(total, 1)  # 0 of 0 is 0


def _fraction(count: np.integer, total: np.integer) -> float | None:
    return float(count / total) if total else None


def _harmonic_mean(a: float | None, b: float | None) -> float | None:
    if a is None or b is None:
        return None
    return 2 * a * b / (a + b) if a + b else 0.0
