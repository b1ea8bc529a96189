"""Learning curves: losses and validation scores of runs that follow one another, as a chart.

    python experiments/street/curves.py --output=curves.png runs/street_small runs/street

A run starts where the one before it ended. Losses are means of a fiftieth of all steps.
"""

import argparse
import json
import pathlib
import sys

import numpy as np

from hparse_jax.errors import InputError

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from charts import line_chart

POINTS = 50


def main() -> None:
    flags = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    flags.add_argument("--output", required=True, metavar="PNG")
    flags.add_argument("runs", nargs="+", help="workdirs in the order of training")
    arguments = flags.parse_args()
    entries, before = [], 0
    for run in arguments.runs:
        own = read_metrics(pathlib.Path(run) / "metrics.jsonl")
        entries += [entry | {"step": entry["step"] + before} for entry in own]
        before = entries[-1]["step"]
    losses = {"training": smooth(*curve(entries, "train/loss"), POINTS)}
    scores = sorted({name for entry in entries for name in entry if name.endswith("/mean_iou")})
    panels = {"loss": losses}
    if scores:
        panels["mean IoU, validation"] = {
            name.split("/")[-2]: curve(entries, name) for name in scores
        }
    line_chart("Learning curves", panels, pathlib.Path(arguments.output), "step")


def read_metrics(file: pathlib.Path) -> list[dict]:
    """The entries of a run's log. Raises InputError when there are none."""
    lines = file.read_text().splitlines() if file.exists() else []
    if not lines:
        raise InputError(f"{file}: no entries; train the run first")
    return [json.loads(line) for line in lines]


def curve(entries: list[dict], name: str) -> tuple[list[int], list[float]]:
    """Steps and values of the entries that have this measure."""
    having = [entry for entry in entries if name in entry]
    return [entry["step"] for entry in having], [entry[name] for entry in having]


def smooth(steps: list[int], values: list[float], points: int) -> tuple[list[float], list[float]]:
    """Means of so many groups of neighbours."""
    groups = np.array_split(np.arange(len(steps)), min(points, len(steps)))
    return tuple([float(np.mean(np.take(x, group))) for group in groups] for x in (steps, values))


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(f"curves: {error}")
