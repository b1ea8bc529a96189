"""The tables and figures of the LIP paper: its rows beside our own evaluations.

    python experiments/lip/tables.py TABLE NAME=FILE.json... [--chart=FILE.png]

Each table says below where its FILE.json comes from. Scores are printed in percent, counts as they
are; "-": not reported. The paper's rows (paper.json) are copied from its text.
"""

import collections
import pathlib
import sys
from collections.abc import Callable

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from paper_tables import EVALUATE, Table, class_iou, main, scores


def groups(analysis: str, value: str = "mean_iou") -> Callable[[dict], dict]:
    """One value of every group of an analysis."""
    return lambda report: {name: group[value] for name, group in report[analysis].items()}


def factors(report: dict) -> dict:
    """Mean IoU of the photos with every factor, and of all photos."""
    by_factor = groups("factors")(report)
    return {"all": report["levels"][0]["mean_iou"], **by_factor}


def photos_with(metadata: dict) -> dict:
    """Photos of all splits that hold each class, the most frequent class first."""
    photos = collections.Counter()
    for counts in metadata["photos_with"].values():
        photos.update(counts)
    return {n: c for n, c in photos.most_common() if n != "background" and not n.startswith("255")}


_FACTORS = f"{EVALUATE} --factors=occlusion.txt,back-view.txt,derived`"
TABLES = {
    "table2": Table("LIP val (%)", scores, f"{EVALUATE}`"),
    "table3": Table(
        "LIP test (%)",
        scores,
        "FILE.json, the answer of LIP's server to submission/lip_test.zip of "
        "`hparse predict --workdir=RUN --split=test --output=submission`",
        note='as fractions: {"pixel_accuracy": ..., "mean_accuracy": ..., "mean_iou": ...}',
    ),
    "table4": Table("LIP val: IoU of every class (%)", class_iou, f"{EVALUATE}`"),
    "table5": Table("PASCAL-Person-Part: IoU of every part (%)", class_iou, f"{EVALUATE}`"),
    "table6_atr": Table(
        "Trained on LIP, tested on ATR: common classes (%)",
        scores,
        f"{EVALUATE} --dataset=atr --split=test --correspondence=lip_atr`",
        note="the left of Table 6; its numbers are missing from our copy of the paper's text but "
        "for three of unknown rows (21.79, 43.97, 46.85), so only ours are printed",
    ),
    "table6_object_sizes": Table(
        "Mean IoU by object size (%)",
        groups("object_sizes"),
        f"{EVALUATE} --object_sizes`",
        partial=True,
        note="the middle of Table 6",
    ),
    "table6_input_sizes": Table(
        "Mean IoU by the photos' longer side in pixels (%)",
        groups("input_sizes"),
        f"{EVALUATE} --input_sizes=153,321,513`",
        partial=True,
        note="the right of Table 6; the paper's text names the first and the last size only, 321 "
        "is the size of its training crops",
    ),
    "figure3": Table(
        "Photos that hold each class",
        photos_with,
        "data/lip/1.0.0/metadata.json of `hparse build lip --manual_dir=RAW --data_dir=data`",
        counts=True,
        note="any built dataset will do; the paper prints no numbers",
    ),
    "figure4": Table(
        "Photos with each factor",
        groups("factors", "images"),
        _FACTORS,
        partial=True,
        counts=True,
        note="the paper's row counts all splits of LIP",
    ),
    "figure5": Table(
        "Mean IoU by factor (%)",
        factors,
        _FACTORS,
        partial=True,
        note="the paper draws bars; section 3.2 prints the numbers of photos and two scores, those "
        "of Attention on all photos and on back views",
    ),
}


if __name__ == "__main__":
    main(__doc__, TABLES, pathlib.Path(__file__).with_name("paper.json"))
