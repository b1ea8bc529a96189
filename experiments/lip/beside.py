"""The paper's rows beside ours: what every script of this folder does.

Each script takes evaluations as NAME=FILE.json, files that `hparse evaluate` wrote, prints a table
in percent with the paper's rows (paper.json, copied from the paper's text) above them, and draws a
chart of all columns with --chart=FILE.jpg. "-": not reported.
"""

import argparse
import json
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from charts import bar_chart

Rows = Mapping[str, Sequence[float | None]]


def paper(table: str) -> tuple[list[str], dict[str, list[float | None]]]:
    """(columns, rows in percent) of a table of the paper."""
    tree = json.loads((pathlib.Path(__file__).parent / "paper.json").read_text())[table]
    return tree["columns"], tree["rows"]


def ours(
    description: str,
    read: Callable[[dict, list[str]], list[float | None]],
    table: str,
    title: str,
    chart_paper: bool = True,
) -> None:
    """The whole script: reads the command line, prints and draws.

    read: (an evaluation, the table's columns) -> its values as fractions. chart_paper: whether the
    paper's rows are of the same kind, so that the chart shows them, too.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("evaluations", nargs="*", metavar="NAME=FILE.json")
    parser.add_argument("--chart", help="a picture of all columns")
    arguments = parser.parse_args()
    columns, rows = paper(table)
    from_paper = {f"{name} (paper)": values for name, values in rows.items()}
    printed = dict(from_paper)
    for item in arguments.evaluations:
        name, _, file = item.partition("=")
        try:
            values = read(json.loads(pathlib.Path(file).read_text()), columns)
        except (OSError, ValueError, KeyError, IndexError) as error:
            sys.exit(f"{item}: give NAME=FILE.json of `hparse evaluate` ({error})")
        printed[f"{name} (ours)"] = [None if v is None else 100 * v for v in values]
    show(columns, printed)
    if arguments.chart:
        drawn = {n: v for n, v in printed.items() if chart_paper or n not in from_paper}
        bars = {
            f"{column}, {name}": [None if values[i] is None else values[i] / 100]
            for i, column in enumerate(columns)
            for name, values in drawn.items()
        }
        bar_chart(title, bars, pathlib.Path(arguments.chart))


def show(columns: Sequence[str], rows: Rows) -> None:
    """Prints rows under their columns."""
    width = max(map(len, rows), default=0) + 2
    widths = [max(len(column), 6) + 2 for column in columns]
    print(" " * width + "".join(f"{c:>{w}}" for c, w in zip(columns, widths, strict=True)))
    for name, values in rows.items():
        cells = ["-" if v is None else f"{v:.2f}" for v in values]
        print(f"{name:{width}}" + "".join(f"{c:>{w}}" for c, w in zip(cells, widths, strict=True)))


def overall(report: dict, columns: list[str]) -> list[float | None]:
    """Scores of the finest level by their names; a server's answer may hold them alone."""
    scores = report["levels"][0] if "levels" in report else report
    return [scores[column] for column in columns]


def per_class(report: dict, columns: list[str]) -> list[float | None]:
    """IoU of each class, and their mean."""
    scores = report["levels"][0]
    iou = {**scores["iou"], "mean": scores["mean_iou"]}
    return [iou[column] for column in columns]


def part(analysis: str) -> Callable[[dict, list[str]], list[float | None]]:
    """Mean IoU of the groups of an analysis; a group that was not scored is left out."""

    def read(report, columns):
        groups = report[analysis]
        return [groups[column]["mean_iou"] if column in groups else None for column in columns]

    return read
