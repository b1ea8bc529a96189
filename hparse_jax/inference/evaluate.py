"""The verb `evaluate`: scores of a trained parser on a labelled split, for every level."""

import collections
import functools
import itertools
from collections.abc import Iterator

import cv2
import jax
import numpy as np
from flax import linen as nn
from jax.experimental import multihost_utils
from jaxtyping import UInt8
from tqdm import tqdm

from hparse_jax.config import Config
from hparse_jax.data.buckets import CanvasBatch, group_by_canvas
from hparse_jax.data.stream import (
    evaluation_batches,
    evaluation_photos,
    num_photos,
)
from hparse_jax.errors import InputError
from hparse_jax.hierarchy import Hierarchy
from hparse_jax.inference.correspondence import Correspondence
from hparse_jax.inference.groups import Group
from hparse_jax.inference.multiscale import Scorer
from hparse_jax.metrics import confusion_matrix, segmentation_scores

_INPUT_SIZES = (17, 2048)  # pixels of the longer side


def evaluate(
    variables: dict,
    model: nn.Module,
    config: Config,
    hierarchy: Hierarchy,
    split: str | None = None,
    scales: tuple[float, ...] | None = None,
    flip: bool = False,
    step: int | None = None,
    progress: bool = False,
    groups: tuple[Group, ...] = (),
    side: int | None = None,
    common: tuple[Hierarchy, Correspondence] | None = None,
) -> dict:
    """The scores of every level at original image size (the evaluate JSON, as a dict).

    One confusion matrix a level over the whole split. Every process scores its share on its own
    devices and returns the sum. split and scales default to `config.val_split` and
    `config.eval_scales`; step only goes into the report. progress: a bar, on a terminal only.
    groups: parts of the split whose leaf scores stand in the report, too. side: show every photo to
    the parser with its longer side at this many pixels (LIP says "input size" and no more). common:
    the dataset's hierarchy and the classes that it shares with the parser's; then these are the
    report's only level.
    Raises InputError when the split is missing, empty or without labels.
    """
    split = config.val_split if split is None else split
    scales = tuple(config.eval_scales if scales is None else scales)
    photos = num_photos(config, split)
    if not photos:
        raise InputError(
            f"split {split} of {config.dataset} in {config.data_dir} is empty; build it again"
        )
    scorer = Scorer(model, config, hierarchy, scales, flip)
    hierarchy = scorer.hierarchy
    levels = [(level.name, level.nodes) for level in hierarchy.levels]
    tables = [(hierarchy.table(i), np.arange(256, dtype=np.uint8)) for i in range(len(levels))]
    if common is not None:
        levels, tables = [("common", common[1].classes)], [(common[1].truth, common[1].predicted)]
    matrices = [np.zeros((len(nodes),) * 2, np.int64) for _, nodes in levels]
    parts = [np.zeros_like(matrices[0]) for _ in groups]
    counts = np.zeros(1 + len(groups), np.int64)  # photos in all, and of each group
    labels_of = hierarchy if common is None else common[0]
    parse = _parsed if side is None else functools.partial(_parsed_at, side)
    mine = len(range(jax.process_index(), photos, jax.process_count()))
    with tqdm(total=mine, desc=split, unit="photo", disable=None if progress else True) as bar:
        for photo_id, labels, maps in parse(scorer, variables, config, labels_of, split):
            leaves = None
            for matrix, (_, nodes), (truth, seen), predicted in zip(
                matrices, levels, tables, maps, strict=False
            ):
                counted = confusion_matrix(truth[labels], seen[predicted], len(nodes))
                matrix += counted
                leaves = counted if leaves is None else leaves
            inside = [group.holds(photo_id, labels) for group in groups]
            for part in itertools.compress(parts, inside):
                part += leaves
            counts += [1, *inside]
            bar.update()
    counts, *summed = _sum_over_processes([counts, *matrices, *parts])
    matrices, parts = summed[: len(levels)], summed[len(levels) :]
    if not matrices[0].any():
        raise InputError(
            f"split {split} of {config.dataset} has no labels to score against; "
            f"`hparse predict --split={split}` writes its label maps"
        )
    report = {
        "dataset": config.dataset,
        "split": split,
        "step": step,
        "images": int(counts[0]),
        "scales": list(scales),
        "flip": flip,
        "levels": [
            {"name": name, **segmentation_scores(matrix, nodes)}
            for (name, nodes), matrix in zip(levels, matrices, strict=True)
        ],
    }
    for group, count, matrix in zip(groups, counts[1:].tolist(), parts, strict=True):
        scores = segmentation_scores(matrix, levels[0][1])
        entry = {"images": count, "derived": group.derived, **scores}
        report.setdefault(group.analysis, {})[group.name] = entry
    return report


_Parsed = Iterator[tuple[str, UInt8[np.ndarray, "h w"], list[UInt8[np.ndarray, "h w"]]]]


def _parsed(
    scorer: Scorer, variables: dict, config: Config, hierarchy: Hierarchy, split: str
) -> _Parsed:
    """(id, leaf labels, label map of every level) of this process's photos.

    The device works on a batch while the one before is counted.
    """
    size = scorer.batch_size(config.eval_batch_size)
    variables = scorer.place(variables)
    me = jax.process_index(), jax.process_count()
    running: collections.deque[tuple[CanvasBatch, tuple]] = collections.deque()

    def finished():
        batch, maps = running.popleft()
        maps = [np.asarray(x) for x in maps]
        for i in np.flatnonzero(batch.valid):
            inside = (i, *(slice(side) for side in batch.sizes[i]))
            yield batch.ids[i], batch.labels[inside], [m[inside] for m in maps]

    for batch in evaluation_batches(config, hierarchy, split, size, *me):
        running.append((batch, scorer(variables, batch.images, batch.sizes).labels))
        if len(running) > 1:
            yield from finished()
    while running:
        yield from finished()


def _parsed_at(
    side: int, scorer: Scorer, variables: dict, config: Config, hierarchy: Hierarchy, split: str
) -> _Parsed:
    """As `_parsed`, with photos whose longer side is brought to `side` pixels; the averaged logits
    are brought back to the photo's own size."""
    labels_of: dict[str, np.ndarray] = {}

    def resized():
        me = jax.process_index(), jax.process_count()
        for photo_id, image, labels in evaluation_photos(config, hierarchy, split, *me):
            labels_of[photo_id] = labels
            scale = side / max(labels.shape)
            size = [max(1, round(n * scale)) for n in labels.shape[::-1]]
            way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
            yield photo_id, cv2.resize(image, size, interpolation=way), None

    variables = scorer.place(variables)
    size = scorer.batch_size(config.eval_batch_size)
    for batch in group_by_canvas(resized(), size, config.mean):
        scores = scorer(variables, batch.images, batch.sizes)
        for i in np.flatnonzero(batch.valid).tolist():
            labels = labels_of.pop(batch.ids[i])
            maps = []
            for level in range(len(scorer.hierarchy.levels)):
                logits = scorer.mean_logits(scores, level, i, tuple(batch.sizes[i].tolist()))
                logits = cv2.resize(logits, labels.shape[::-1], interpolation=cv2.INTER_LINEAR)
                maps.append(logits.reshape(*labels.shape, -1).argmax(-1).astype(np.uint8))
            yield batch.ids[i], labels, maps


def _sum_over_processes(arrays: list) -> list[np.ndarray]:
    """The int64 sums over all processes, exact: they travel as pairs of uint32."""
    arrays = [np.asarray(a, np.int64) for a in arrays]
    if jax.process_count() == 1:
        return arrays
    flat = np.concatenate([a.ravel() for a in arrays])
    gathered = np.asarray(multihost_utils.process_allgather(flat.view(np.uint32)))
    total = np.ascontiguousarray(gathered).view(np.int64).sum(0)
    cuts = np.cumsum([a.size for a in arrays])[:-1]
    return [t.reshape(a.shape) for t, a in zip(np.split(total, cuts), arrays, strict=True)]


def table(report: dict) -> str:
    """The report as text: per level the classes, then the means of both metric families."""
    views = "scales " + ", ".join(f"{s:g}" for s in report["scales"])
    lines = [
        f"{report['dataset']} {report['split']}, step {report['step']}, {report['images']} photos, "
        f"{views}{' with flip' if report['flip'] else ''}; in %"
    ]
    for level in report["levels"]:
        width = max(map(len, level["per_class"]))
        columns = ("iou", "precision", "recall", "f1")
        heading = "".join(f"{c:>11}" for c in ("IoU", *columns[1:]))
        lines += ["", f"{level['name']:{width}}{heading}"]
        for name, scores in level["per_class"].items():
            lines.append(f"{name:{width}}" + "".join(_percent(scores[c]) for c in columns))
        means = (level["mean_iou"], level["precision"], level["recall"], level["mean_of_f1"])
        lines.append(f"{'mean':{width}}" + "".join(map(_percent, means)))
        for text, key in (
            ("pixel accuracy", "pixel_accuracy"),
            ("mean accuracy", "mean_accuracy"),
            ("foreground accuracy", "foreground_accuracy"),
            ("F1 of mean precision and recall", "f1_of_means"),
        ):
            lines.append(f"  {text:32}{_percent(level[key])}")
    for analysis in ("factors", "object_sizes", "input_sizes"):
        if analysis in report:
            lines += ["", f"{analysis.replace('_', ' '):20}{'mean IoU':>11}{'photos':>9}"]
            for name, scores in report[analysis].items():
                images = scores.get("images", report["images"])
                told = " (derived from labels)" if scores.get("derived") else ""
                lines.append(f"{name:20}{_percent(scores['mean_iou'])}{images:9}{told}")
    return "\n".join(lines)


def _percent(fraction: float | None) -> str:
    return f"{'-':>11}" if fraction is None else f"{100 * fraction:11.2f}"
