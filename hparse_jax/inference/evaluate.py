"""Scores of a predictor on labelled photographs, for every level."""

import itertools
from collections.abc import Iterable

import jax
import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from hparse_jax.data.dataset import BuiltDataset
from hparse_jax.errors import InputError
from hparse_jax.hierarchy import Hierarchy
from hparse_jax.inference.correspondence import Correspondence
from hparse_jax.inference.groups import Group
from hparse_jax.inference.predictor import Predictor
from hparse_jax.metrics import confusion_matrix, segmentation_scores
from hparse_jax.sharding import sum_over_processes

_Photo = tuple[str, UInt8[np.ndarray, "_ _ 3"], UInt8[np.ndarray, "_ _"]]


def evaluate_split(
    predictor: Predictor,
    dataset: BuiltDataset,
    split: str,
    hierarchy: Hierarchy,
    groups: tuple[Group, ...] = (),
    common: Correspondence | None = None,
    batch_size: int | None = None,
    progress: bool = False,
) -> dict:
    """The evaluate JSON, as a dict: the scores of a split of a built dataset.

    Every process scores its share of the photographs and returns the scores of all. hierarchy: of
    the labels. progress: a bar, on a terminal only. The other arguments: see `evaluate`. Raises
    InputError when the split is missing, empty or without labels.
    """
    total = dataset.splits.get(split)
    if total == 0:
        raise InputError(f"split {split} of {dataset.name} is empty; build {dataset.folder} again")
    me = jax.process_index(), jax.process_count()
    photos = dataset.photos(split, hierarchy, *me)
    mine = None if total is None else len(range(me[0], total, me[1]))
    disable = None if progress else True
    photos = tqdm(photos, desc=split, total=mine, unit="photo", disable=disable)
    scores = evaluate(predictor, iter(photos), groups, common, batch_size)
    if not any(counts["pixels"] for counts in scores["levels"][0]["per_class"].values()):
        raise InputError(
            f"split {split} of {dataset.name} has no labels to score against; "
            f"`hparse predict --split={split}` writes its label maps"
        )
    return {"dataset": dataset.name, "split": split, **scores}


def evaluate(
    predictor: Predictor,
    photos: Iterable[_Photo],
    groups: tuple[Group, ...] = (),
    common: Correspondence | None = None,
    batch_size: int | None = None,
) -> dict:
    """The scores of every level at original image size: {"step", "scales", "flip", "side",
    "consistent", "engine", "precision", "images", "levels"} and the analyses that `groups` belong
    to.

    One confusion matrix a level over all photographs, (id, image, leaf labels) each, of all
    processes. groups: subsets whose leaf scores are reported, too. common: the classes that
    the labels share with the predictor's; then these are the report's only level.
    """
    hierarchy = predictor.hierarchy
    levels = [(level.name, level.nodes) for level in hierarchy.levels]
    tables = [(hierarchy.table(i), np.arange(256, dtype=np.uint8)) for i in range(len(levels))]
    if common is not None:
        levels, tables = [("common", common.classes)], [(common.truth, common.predicted)]
    matrices = [np.zeros((len(nodes),) * 2, np.int64) for _, nodes in levels]
    group_matrices = [np.zeros_like(matrices[0]) for _ in groups]
    counts = np.zeros(1 + len(groups), np.int64)  # photographs in total, and of each group
    items = (((photo_id, labels), image) for photo_id, image, labels in photos)
    for (photo_id, labels), result in predictor.stream(items, batch_size):
        counted = [
            confusion_matrix(of_labels[labels], of_result[predicted], len(nodes))
            for (_, nodes), (of_labels, of_result), predicted in zip(
                levels, tables, result.levels[: len(levels)], strict=True
            )
        ]
        for matrix, more in zip(matrices, counted, strict=True):
            matrix += more
        inside = [group.holds(photo_id, labels) for group in groups]
        for matrix in itertools.compress(group_matrices, inside):
            matrix += counted[0]
        counts += [1, *inside]
    counts, *summed = sum_over_processes([counts, *matrices, *group_matrices])
    matrices, group_matrices = summed[: len(levels)], summed[len(levels) :]
    report = {
        **predictor.settings,
        "images": int(counts[0]),
        "levels": [
            {"name": name, **segmentation_scores(matrix, nodes)}
            for (name, nodes), matrix in zip(levels, matrices, strict=True)
        ],
    }
    for group, count, matrix in zip(groups, counts[1:].tolist(), group_matrices, strict=True):
        scores = segmentation_scores(matrix, levels[0][1])
        entry = {"images": count, "derived": group.derived, **scores}
        report.setdefault(group.analysis, {})[group.name] = entry
    return report
