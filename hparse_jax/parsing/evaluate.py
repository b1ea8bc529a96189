"""The verb `evaluate`: scores of a trained parser on a labelled split, for every level."""

import dataclasses
import json
import pathlib
from collections.abc import Iterator

import jax
import numpy as np
from absl import flags
from flax import linen as nn
from jax.experimental import multihost_utils
from tqdm import tqdm

from hparse_jax.config import Config
from hparse_jax.data.canvas import CanvasBatch
from hparse_jax.data.stream import evaluation_batches, num_photos
from hparse_jax.errors import InputError, UsageError
from hparse_jax.hierarchy import IGNORE, Hierarchy
from hparse_jax.metrics import confusion_matrix, segmentation_scores
from hparse_jax.models import build_model
from hparse_jax.parsing.files import write_bytes
from hparse_jax.parsing.scales import Scorer, parse_scales
from hparse_jax.training.checkpoint import load_run


def define_flags() -> None:
    """The flags of `hparse evaluate`."""
    flags.DEFINE_string("workdir", None, "The folder of the training run.", required=True)
    flags.DEFINE_integer("step", None, "Step of the checkpoint; default: the last one.")
    flags.DEFINE_string("split", None, "Split to score; default: the run's config.val_split.")
    flags.DEFINE_list("scales", None, "Scales to average; default: the run's config.eval_scales.")
    flags.DEFINE_bool("flip", False, "Average over mirrored photos too.")
    flags.DEFINE_string("output", None, "JSON file; default: WORKDIR/evaluation_SPLIT_STEP.json.")
    flags.DEFINE_string("data_dir", None, "Where the built dataset lies; default: as trained.")
    flags.DEFINE_integer("batch_size", None, "Photos at a time; default: config.eval_batch_size.")


def main(argv: list[str]) -> int | None:
    """`hparse evaluate --workdir=DIR [--split=val] [--scales=0.75,1,1.25] [--flip]`."""
    values = flags.FLAGS
    if argv:
        raise UsageError(f"no arguments but flags, not {' '.join(argv)}")
    run = load_run(values.workdir, values.step)
    changes = {"data_dir": values.data_dir, "eval_batch_size": values.batch_size}
    config = dataclasses.replace(run.config, **{k: v for k, v in changes.items() if v is not None})
    if config.eval_batch_size < 1:
        raise InputError(f"--batch_size={config.eval_batch_size}: give a number above 0")
    report = evaluate(
        run.variables,
        build_model(config.model, run.hierarchy),
        config,
        run.hierarchy,
        split=values.split,
        scales=parse_scales(values.scales),
        flip=values.flip,
        step=run.step,
        progress=True,
    )
    name = f"evaluation_{report['split']}_{report['step']}.json"
    output = pathlib.Path(values.output or pathlib.Path(values.workdir) / name)
    write_bytes(output, json.dumps(report, indent=1).encode())
    print(table(report))
    print(f"written to {output}")


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
) -> dict:
    """The scores of every level at original image size (the evaluate JSON, as a dict).

    One confusion matrix a level over the whole split. Every process scores its share on its own
    devices and returns the sum. split and scales default to `config.val_split` and
    `config.eval_scales`; step only goes into the report. progress: a bar, on a terminal only.
    Raises InputError when the split is missing or empty.
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
    batches = evaluation_batches(
        config,
        hierarchy,
        split,
        scorer.batch_size(config.eval_batch_size),
        jax.process_index(),
        jax.process_count(),
    )
    matrices = [np.zeros((len(level.nodes),) * 2, np.int64) for level in hierarchy.levels]
    images = 0
    mine = len(range(jax.process_index(), photos, jax.process_count()))
    with tqdm(total=mine, desc=split, unit="photo", disable=None if progress else True) as bar:
        for batch, maps in _label_maps(scorer, scorer.place(variables), batches):
            labels = np.where(batch.valid[:, None, None], batch.labels, np.uint8(IGNORE))
            for level, predicted in enumerate(maps):
                truth = hierarchy.labels_at(level, labels)
                matrices[level] += confusion_matrix(truth, predicted, len(matrices[level]))
            images += int(batch.valid.sum())
            bar.update(int(batch.valid.sum()))
    images, *matrices = _sum_over_processes([np.int64(images), *matrices])
    return {
        "dataset": config.dataset,
        "split": split,
        "step": step,
        "images": int(images),
        "scales": list(scales),
        "flip": flip,
        "levels": [
            {"name": level.name, **segmentation_scores(matrix, level.nodes)}
            for level, matrix in zip(hierarchy.levels, matrices, strict=True)
        ],
    }


def _label_maps(
    scorer: Scorer, variables: dict, batches: Iterator[CanvasBatch]
) -> Iterator[tuple[CanvasBatch, list[np.ndarray]]]:
    """Each batch with its label maps; the device works on a batch while the last one is counted."""
    running = None
    for batch in batches:
        started = batch, scorer(variables, batch.images, batch.sizes).labels
        if running:
            yield running[0], [np.asarray(x) for x in running[1]]
        running = started
    if running:
        yield running[0], [np.asarray(x) for x in running[1]]


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
    return "\n".join(lines)


def _percent(fraction: float | None) -> str:
    return f"{'-':>11}" if fraction is None else f"{100 * fraction:11.2f}"
