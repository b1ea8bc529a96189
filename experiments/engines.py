"""Every engine and precision on labelled photos: speed, memory, agreement with JAX, mean IoU.

    python experiments/engines.py --workdir=RUN [--data_dir=DATA] [--split=val] [--photos=83] \\
        [--engines=jax:float32,openvino:bfloat16] [--scales=0.75,1] [--flip] [--output=FILE.jsonl]

Each engine has a process of its own, one after the other; the first is JAX in float32, with whose
label maps the others' are compared. Time: milliseconds from a decoded photo to its label maps, the
median and the slowest; a photo that needs new programs is parsed once before. Memory: the largest
resident set of the process. Agreement: the share of equal pixels. What cannot run here is named and
left out.
"""

import argparse
import dataclasses
import itertools
import json
import multiprocessing
import pathlib
import statistics
import tempfile
import time

import numpy as np

from hparse_jax.benchmark.hardware import peak_memory
from hparse_jax.checkpoint import load_run
from hparse_jax.data.dataset import BuiltDataset
from hparse_jax.errors import InputError
from hparse_jax.inference.predictor import Predictor
from hparse_jax.metrics import confusion_matrix, segmentation_scores
from hparse_jax.models import build_model

REFERENCE = "jax:float32"
CASES = (REFERENCE, "jax:bfloat16", "onnxruntime:float32", "openvino:float32", "openvino:bfloat16")


@dataclasses.dataclass(frozen=True)
class Photos:
    """Which photos of which run's dataset, and how they are shown; see `Predictor`."""

    workdir: str
    data_dir: str | None
    split: str
    count: int
    scales: tuple[float, ...] | None
    flip: bool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", required=True, help="a trained run, or a packed file")
    parser.add_argument("--data_dir", help="the folder of the built dataset; default: as trained")
    parser.add_argument("--split", default="val", help="of the run's dataset")
    parser.add_argument("--photos", type=int, default=10**9, help="how many, from the first one")
    parser.add_argument("--engines", default=",".join(CASES[1:]), help="ENGINE:PRECISION,...")
    parser.add_argument("--scales", help="comma-separated; default: config.eval_scales")
    parser.add_argument("--flip", action="store_true", help="average over mirrored photos, too")
    parser.add_argument("--output", help="a file for one JSON object a row")
    given = parser.parse_args()
    scales = tuple(map(float, given.scales.split(","))) if given.scales else None
    photos = Photos(given.workdir, given.data_dir, given.split, given.photos, scales, given.flip)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for case in dict.fromkeys([REFERENCE, *given.engines.split(",")]):
            # spawned: nothing of another engine is in its memory
            with multiprocessing.get_context("spawn").Pool(1) as process:
                try:
                    rows.append(process.apply(measure, (case, photos, folder)))
                except InputError as error:
                    print(f"{case} is left out: {error}")
    print(table(rows))
    if given.output:
        pathlib.Path(given.output).write_text("".join(json.dumps(row) + "\n" for row in rows))


def measure(case: str, photos: Photos, folder: str) -> dict:
    """The row of a case, ENGINE:PRECISION. folder: where the reference leaves its label maps and
    all others find them."""
    engine, _, precision = case.partition(":")
    run = load_run(photos.workdir)
    parser = Predictor(
        build_model(run.config.model, run.hierarchy),
        run.variables,
        run.config,
        run.hierarchy,
        scales=photos.scales,
        flip=photos.flip,
        side=run.config.eval_side,
        max_side=None,
        engine=engine,
        precision=precision,
    )
    levels = parser.hierarchy.levels
    matrices = [np.zeros((len(level.nodes),) * 2, np.int64) for level in levels]
    equal, pixels, seconds, seen = np.zeros(len(levels)), 0, [], set()
    dataset = BuiltDataset(run.config.dataset, photos.data_dir or run.config.data_dir)
    labelled = dataset.photos(photos.split, run.hierarchy)
    for number, (_, image, labels) in enumerate(itertools.islice(labelled, photos.count)):
        buckets = parser.buckets(*image.shape[:2])
        if buckets not in seen:
            parser(image)
            seen.add(buckets)
        begin = time.perf_counter()
        found = parser(image).levels
        seconds.append(time.perf_counter() - begin)
        file = pathlib.Path(folder) / f"{number}.npz"
        if case == REFERENCE:
            np.savez_compressed(file, *found)
        with np.load(file) as wanted:
            equal += [np.count_nonzero(x == wanted[f"arr_{i}"]) for i, x in enumerate(found)]
        pixels += labels.size
        for depth, matrix in enumerate(matrices):
            truth = run.hierarchy.table(depth)[labels]
            matrix += confusion_matrix(truth, found[depth], len(matrix))
    scores = [
        segmentation_scores(m, x.nodes)["mean_iou"] for m, x in zip(matrices, levels, strict=True)
    ]
    return {
        "engine": parser.engine,
        "precision": parser.precision,
        "photos": len(seconds),
        "buckets": len(seen),
        "ms": 1e3 * statistics.median(seconds),
        "slowest_ms": 1e3 * max(seconds),
        "peak_mib": peak_memory()["process_mib"],
        "agreement": dict(zip([x.name for x in levels], (equal / pixels).tolist(), strict=True)),
        "mean_iou": dict(zip([x.name for x in levels], scores, strict=True)),
    }


def table(rows: list[dict]) -> str:
    """One line a row; agreement and mean IoU in %, level by level."""
    names = list(rows[0]["mean_iou"])
    lines = [
        f"{rows[0]['photos']} photos; agreement with JAX in float32 and mean IoU in %: "
        + ", ".join(names),
        f"{'engine':13}{'precision':11}{'ms':>8}{'slowest':>9}{'MiB':>7}"
        f"{'agreement':>{9 * len(names)}}{'mean IoU':>{8 * len(names)}}",
    ]
    for row in rows:
        agreement = "".join(f"{100 * row['agreement'][x]:9.3f}" for x in names)
        scores = "".join(f"{100 * row['mean_iou'][x]:8.2f}" for x in names)
        lines.append(
            f"{row['engine']:13}{row['precision']:11}{row['ms']:8.0f}{row['slowest_ms']:9.0f}"
            f"{row['peak_mib']:7.0f}{agreement}{scores}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
