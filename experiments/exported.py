"""Exported ONNX files on labelled photos: what eight bits cost and gain.

    python experiments/exported.py FILE.onnx [FILE.onnx ...] --data_dir=DATA [--split=val] \\
        [--photos=83] [--engines=onnxruntime,openvino] [--output=FILE.jsonl]

Every file runs in every engine, in float32 where the file does not say int8; the photos are taken
in turn by all of them. A photo larger than the canvas is shrunk, and its label maps are enlarged
again by nearest neighbour. Time: milliseconds from a canvas to its label maps, the median and the
slowest. Agreement: the share of pixels with the label of the first file in the first engine. Mean
IoU is against the dataset's labels.
"""

import argparse
import itertools
import json
import pathlib
import statistics
import time
from collections.abc import Callable

import cv2
import numpy as np
import onnx

from hparse_jax.data.dataset import BuiltDataset
from hparse_jax.engines.choose import runtime
from hparse_jax.hierarchy import hierarchy_from_json
from hparse_jax.metrics import confusion_matrix, segmentation_scores
from hparse_jax.processors import usable_cores


class Row:
    """A file in an engine, and what was found so far."""

    def __init__(self, file: str, engine: str, hierarchy):
        self.file, self.engine, self.seconds = file, engine, []
        self.names = [level.name for level in hierarchy.levels]
        self.run = ENGINES[engine](file, self.names)
        self.matrices = [np.zeros((len(x.nodes),) * 2, np.int64) for x in hierarchy.levels]
        self.equal = np.zeros(len(self.names))

    def parse(self, canvas: np.ndarray, shown: tuple[int, int], own: tuple[int, int]) -> list:
        """The label maps of a photo that fills `shown` of the canvas, at its own size."""
        feed = {"images": canvas[None], "sizes": np.array([shown], np.int32)}
        if not self.seconds:
            self.run(feed)  # the first call makes room for its arrays
        begin = time.perf_counter()
        maps = self.run(feed)
        self.seconds.append(time.perf_counter() - begin)
        nearest = cv2.INTER_NEAREST
        inside = [np.ascontiguousarray(x[0, : shown[0], : shown[1]]) for x in maps]
        return [cv2.resize(x, own[::-1], interpolation=nearest) for x in inside]


def in_onnxruntime(file: str, names: list[str]) -> Callable:
    onnxruntime = runtime("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = usable_cores()
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return lambda feed: session.run(names, feed)


def in_openvino(file: str, names: list[str]) -> Callable:
    settings = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    program = runtime("openvino").Core().compile_model(file, "CPU", settings)

    def run(feed):
        found = program(feed)
        return [found[name] for name in names]

    return run


ENGINES = {"onnxruntime": in_onnxruntime, "openvino": in_openvino}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", help="of `hparse export`, with one canvas and batch 1")
    parser.add_argument("--data_dir", required=True, help="the folder of the built dataset")
    parser.add_argument("--split", default="val", help="of the dataset that the files name")
    parser.add_argument("--photos", type=int, default=10**9, help="how many, from the first one")
    parser.add_argument("--engines", default=",".join(ENGINES), help="some of the default")
    parser.add_argument("--output", help="a file for one JSON object a row")
    given = parser.parse_args()
    about = describe(given.files[0])
    if any(describe(file)["size"] != about["size"] for file in given.files):
        parser.error("the files differ in their canvas")
    hierarchy = hierarchy_from_json(about["hierarchy"])
    dataset = BuiltDataset(about["dataset"], given.data_dir)
    photos = itertools.islice(dataset.photos(given.split, hierarchy), given.photos)
    rows = [Row(file, e, hierarchy) for file in given.files for e in given.engines.split(",")]
    pixels = score(rows, photos, hierarchy, tuple(about["size"]))
    found = [summary(row, hierarchy, pixels) for row in rows]
    print(table(found))
    if given.output:
        pathlib.Path(given.output).write_text("".join(json.dumps(row) + "\n" for row in found))


def describe(file: str) -> dict:
    """What `hparse export` wrote into the file."""
    properties = {x.key: x.value for x in onnx.load(file).metadata_props}
    return json.loads(properties["hparse_jax"])


def score(rows: list[Row], photos, hierarchy, size: tuple[int, int]) -> int:
    """Parses every photo with every row; returns the number of pixels."""
    pixels = 0
    for _, image, labels in photos:
        factor = min(1.0, *(a / b for a, b in zip(size, labels.shape, strict=True)))
        shown = tuple(max(1, int(side * factor)) for side in labels.shape)
        canvas = np.zeros((*size, 3), np.uint8)
        canvas[: shown[0], : shown[1]] = cv2.resize(
            image, shown[::-1], interpolation=cv2.INTER_AREA
        )
        reference = None
        for row in rows:
            maps = row.parse(canvas, shown, labels.shape)
            reference = reference or maps
            row.equal += [np.count_nonzero(a == b) for a, b in zip(maps, reference, strict=True)]
            for depth, matrix in enumerate(row.matrices):
                truth = hierarchy.table(depth)[labels]
                matrix += confusion_matrix(truth, maps[depth], len(matrix))
        pixels += labels.size
    return pixels


def summary(row: Row, hierarchy, pixels: int) -> dict:
    scores = [
        segmentation_scores(matrix, level.nodes)["mean_iou"]
        for matrix, level in zip(row.matrices, hierarchy.levels, strict=True)
    ]
    return {
        "file": row.file,
        "precision": describe(row.file)["precision"],
        "engine": row.engine,
        "photos": len(row.seconds),
        "ms": 1e3 * statistics.median(row.seconds),
        "slowest_ms": 1e3 * max(row.seconds),
        "agreement": dict(zip(row.names, (row.equal / pixels).tolist(), strict=True)),
        "mean_iou": dict(zip(row.names, scores, strict=True)),
    }


def table(rows: list[dict]) -> str:
    """One line a row; agreement and mean IoU in %, level by level."""
    names = list(rows[0]["mean_iou"])
    lines = [
        f"{rows[0]['photos']} photos; agreement with the first row and mean IoU in %: "
        + ", ".join(names),
        f"{'precision':11}{'engine':13}{'ms':>8}{'slowest':>9}"
        f"{'agreement':>{8 * len(names)}}{'mean IoU':>{8 * len(names)}}",
    ]
    for row in rows:
        agreement = "".join(f"{100 * row['agreement'][x]:8.2f}" for x in names)
        scores = "".join(f"{100 * row['mean_iou'][x]:8.2f}" for x in names)
        lines.append(
            f"{row['precision']:11}{row['engine']:13}{row['ms']:8.1f}{row['slowest_ms']:9.1f}"
            f"{agreement}{scores}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
