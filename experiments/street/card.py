"""The measurements of docs/model_card.md: confusions, calibration, and what the gates are worth.

    python experiments/street/card.py --data_dir=data --output=card
    python experiments/street/card.py --workdir=RUN --data_dir=data --output=card

On the validation photos, with the settings of `hparse predict`. Writes OUTPUT/card.json and
card.md, calibration.png (how often a pixel's label is right, by the probability it was given) and
gates.png (how good a source's own map of a node is, by the gate that the node gives it).
"""

import argparse
import collections
import pathlib
import sys
from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from jaxtyping import Float, Int64, UInt8
from scipy.stats import spearmanr

from hparse_jax.data.dataset import BuiltDataset
from hparse_jax.errors import InputError
from hparse_jax.hierarchy import IGNORE
from hparse_jax.inference.predictor import Predictor, Result, load_parser, training_side
from hparse_jax.metrics import confusion_matrix
from hparse_jax.models.ops import normalise
from hparse_jax.storage import write_bytes, write_json

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from charts import line_chart

BINS = 20
SOURCES = ("direct", "top_down", "bottom_up")
WORST = 8  # classes whose confusions are listed


def main() -> None:
    flags = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    flags.add_argument("--workdir", help="default: the parser that comes with the package")
    flags.add_argument("--data_dir", default="data", help="of the built dataset")
    flags.add_argument("--output", required=True, metavar="FOLDER")
    arguments = flags.parse_args()
    parser = load_parser(arguments.workdir)
    dataset = BuiltDataset(parser.config.dataset, arguments.data_dir)
    photos = dataset.photos(parser.config.val_split, parser.hierarchy)
    measured = measure(parser, photos)
    folder = pathlib.Path(arguments.output)
    write_json(folder / "card.json", measured)
    text = markdown(measured)
    write_bytes(folder / "card.md", text.encode())
    draw(measured, folder)
    print(text)
    print(f"written to {folder}")


def measure(parser: Predictor, photos: Iterator[tuple]) -> dict:
    """{"confusions": class -> {"iou", "taken_for": {class: share}}, "calibration": level ->
    {"probability", "accuracy", "share" of every bin, "error"}, "gates": source -> {"gates", "iou",
    "rank_correlation", "within_a_node"}}."""
    levels = parser.hierarchy.levels
    matrix = np.zeros((len(levels[0].nodes),) * 2, np.int64)
    bins = np.zeros((len(levels), 3, BINS))  # pixels, right ones, sum of probabilities
    pairs = {source: [] for source in SOURCES}
    items = (((labels, image), image) for _, image, labels in photos)
    for (labels, image), result in parser.stream(items):
        matrix += confusion_matrix(labels, result.labels, len(matrix))
        for depth in range(len(levels)):
            truth = parser.hierarchy.labels_at(depth, labels)
            bins[depth] += binned(result, depth, truth)
        for source, found in worth_of_gates(parser, image, labels, result):
            pairs[source].append(found)
    return {
        "confusions": confusions(matrix, levels[0].nodes),
        "calibration": {
            level.name: calibration(of_level) for level, of_level in zip(levels, bins, strict=True)
        },
        "gates": {
            source: {
                "gates": [gate for _, gate, _ in found],
                "iou": [iou for *_, iou in found],
                "rank_correlation": rank_correlation(found),
                "within_a_node": within_a_node(found),
            }
            for source, found in pairs.items()
            if len(found) > 2
        },
    }


def binned(
    result: Result, depth: int, truth: UInt8[np.ndarray, "h w"]
) -> Float[np.ndarray, "3 bins"]:
    """Pixels, right pixels and the sum of probabilities by the probability of the label found."""
    counted = truth != IGNORE
    probability = result.probabilities(depth).max(-1)[counted]
    right = (result.levels[depth] == truth)[counted]
    which = np.minimum((probability * BINS).astype(int), BINS - 1)
    return np.stack(
        [np.bincount(which, weights, BINS) for weights in (None, right, probability.astype(float))]
    )


def calibration(bins: Float[np.ndarray, "3 bins"]) -> dict:
    """Of the bins that are not empty; "error": the expected calibration error (Guo et al. 2017)."""
    pixels, right, sums = bins[:, bins[0] > 0]
    probability, accuracy, share = sums / pixels, right / pixels, pixels / pixels.sum()
    return {
        "probability": probability.tolist(),
        "accuracy": accuracy.tolist(),
        "share": share.tolist(),
        "error": float((share * np.abs(probability - accuracy)).sum()),
    }


def confusions(matrix: Int64[np.ndarray, "c c"], names: tuple[str, ...]) -> dict:
    """The worst classes: their IoU, and the three classes that most of their pixels are taken
    for."""
    truth, right = matrix.sum(1), np.diagonal(matrix)
    iou = right / np.maximum(truth + matrix.sum(0) - right, 1)
    worst = [i for i in np.argsort(iou, kind="stable") if truth[i]][:WORST]
    return {
        names[i]: {
            "iou": float(iou[i]),
            "taken_for": {
                names[j]: float(matrix[i, j] / truth[i]) for j in np.argsort(-matrix[i])[:3]
            },
        }
        for i in worst
    }


def worth_of_gates(
    parser: Predictor,
    image: UInt8[np.ndarray, "h w 3"],
    labels: UInt8[np.ndarray, "h w"],
    result: Result,
) -> Iterator[tuple[str, tuple[str, float, float]]]:
    """(source, (node, gate, IoU)) for every node but background that the photo shows: the trust
    that the node has in the source, and its IoU in the source's own map."""
    config = parser.config
    factor = (parser.side or training_side(config)) / max(image.shape[:2])
    # one program for all photos: their sides differ by a few pixels
    size = tuple(round(x * factor / 16) * 16 + 1 for x in image.shape[:2])
    shown = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)
    maps = parser.logits(normalise(shown[None], config.mean, config.std, config.channels))
    for depth, level in enumerate(parser.hierarchy.levels):
        truth = parser.hierarchy.labels_at(depth, labels)
        truth = cv2.resize(truth, size[::-1], interpolation=cv2.INTER_NEAREST)
        for source, gates in result.gates[depth].items():
            logits = np.asarray(maps[f"{level.name}/{source}"][0])
            found = cv2.resize(logits, size[::-1]).argmax(-1)
            for node in range(1, len(level.nodes)):
                of_node, of_found = truth == node, (found == node) & (truth != IGNORE)
                if of_node.any():
                    iou = (of_node & of_found).sum() / (of_node | of_found).sum()
                    yield source, (level.nodes[node], float(gates[node]), float(iou))


def rank_correlation(found: Sequence[tuple[str, float, float]]) -> float:
    """Spearman's, of gates and IoU."""
    return float(spearmanr([pair for _, *pair in found]).statistic)


def within_a_node(found: Sequence[tuple[str, float, float]]) -> float:
    """The median over the nodes of the rank correlation over the photos of a node: whether a gate
    says more of a photo than of the node. Of nodes that ten photos show."""
    of_nodes = collections.defaultdict(list)
    for one in found:
        of_nodes[one[0]].append(one)
    often = [pairs for pairs in of_nodes.values() if len(pairs) >= 10]
    return float(np.nanmedian([rank_correlation(pairs) for pairs in often] or [np.nan]))


def by_gate(gates: list[float], iou: list[float]) -> tuple[list[float], list[float]]:
    """Mean gate and mean IoU of ten groups of equal size, from the lowest gates up."""
    order = np.argsort(gates, kind="stable")
    groups = [group for group in np.array_split(order, 10) if len(group)]
    return (
        [float(np.mean(np.take(gates, group))) for group in groups],
        [float(np.mean(np.take(iou, group))) for group in groups],
    )


def draw(measured: dict, folder: pathlib.Path) -> None:
    panels = {
        f"{level}, error {x['error']:.3f}": {level: (x["probability"], x["accuracy"])}
        for level, x in measured["calibration"].items()
    }
    title = "How often a pixel's label is right, by its probability"
    line_chart(title, panels, folder / "calibration.png", "probability", diagonal=True)
    panels = {
        f"{source}, rank correlation {x['rank_correlation']:.2f}": {
            source: by_gate(x["gates"], x["iou"])
        }
        for source, x in measured["gates"].items()
    }
    if panels:
        title = "IoU of a node in a source's own map, by the gate that the node gives the source"
        line_chart(title, panels, folder / "gates.png", "gate")


def markdown(measured: dict) -> str:
    lines = ["| class | IoU | its pixels are taken for |", "|---|---|---|"]
    for name, x in measured["confusions"].items():
        taken = ", ".join(f"{other} {100 * share:.0f} %" for other, share in x["taken_for"].items())
        lines.append(f"| {name} | {100 * x['iou']:.1f} | {taken} |")
    lines += ["", "| level | expected calibration error |", "|---|---|"]
    for name, x in measured["calibration"].items():
        lines.append(f"| {name} | {x['error']:.3f} |")
    heads = (
        "source",
        "gates, 5th to 95th percentile",
        "rank correlation with IoU",
        "within a node",
    )
    lines += ["", f"| {' | '.join(heads)} |", "|---|---|---|---|"]
    for source, x in measured["gates"].items():
        low, high = np.percentile(x["gates"], [5, 95])
        correlations = f"{x['rank_correlation']:.2f} | {x['within_a_node']:.2f}"
        lines.append(f"| {source} | {low:.2f} to {high:.2f} | {correlations} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(f"card: {error}")
