"""The tables of the CNIF paper: its rows beside our own evaluations.

    python experiments/cnif/tables.py TABLE NAME=FILE.json... [--chart=FILE.png]

Each table says below where its FILE.json comes from. Scores are printed in percent; "-": not
reported. The paper's rows (paper.json) are copied from its text. Table 6 with all its runs is
experiments/cnif/ablation.py.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from paper_tables import EVALUATE, Table, class_iou, main, scores

_SCALES = "--scales=0.5,0.75,1,1.25,1.5 --flip"
_F1 = (
    "in the rows of CNIF, TGPNet and Attention F-1 is the harmonic mean of precision and recall, "
    "as in ours (f1_of_means of the JSON); in most others it is not (ours: mean_of_f1)"
)


def five(report: dict) -> dict:
    """The five measures of ATR and Fashion Clothing, of the finest level."""
    level = scores(report)
    return {**level, "f1": level["f1_of_means"]}


def levels(report: dict) -> dict:
    """Mean IoU of every level, the finest first."""
    return {f"level{i}": level["mean_iou"] for i, level in enumerate(report["levels"], 1)}


TABLES = {
    "table1": Table("LIP val (%)", scores, f"{EVALUATE} {_SCALES}`"),
    "table2": Table(
        "LIP val: IoU of every class (%)",
        class_iou,
        f"{EVALUATE} {_SCALES}`",
        note="DeepLabV2's classes have a mean of 44.03; the paper prints 41.64",
    ),
    "table3": Table(
        "PASCAL-Person-Part: IoU of every part (%)",
        class_iou,
        f"{EVALUATE} {_SCALES}`",
        note="the paper's test set is the split val here",
    ),
    "table4": Table("ATR test (%)", five, f"{EVALUATE} {_SCALES} --split=test`", note=_F1),
    "table5": Table(
        "Fashion Clothing (%)",
        five,
        f"{EVALUATE} {_SCALES}`",
        note=f"the paper's test set is the split val here; {_F1}",
    ),
    "table6": Table(
        "PASCAL-Person-Part: mean IoU of every level (%)",
        levels,
        f"{EVALUATE} {_SCALES}`",
        partial=True,
        note="the backbone alone has the first level only",
    ),
}


if __name__ == "__main__":
    main(__doc__, TABLES, pathlib.Path(__file__).with_name("paper.json"))
