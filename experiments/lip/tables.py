"""The tables and figures of the LIP paper: its rows beside our own evaluations.

    python experiments/lip/tables.py TABLE NAME=FILE.json... [--chart=FILE.png]

Each table says below where its FILE.json comes from. Scores are printed in percent, counts as they
are; "-": not reported. The paper's rows (paper.json) are copied from its text.
"""

import argparse
import collections
import dataclasses
import json
import pathlib
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence

Row = list[float | int | None]  # percent as float, counts as int
_WIDE = 8  # a table of more columns is printed with a line for each column


@dataclasses.dataclass(frozen=True)
class Table:
    """How one table of the paper is filled from evaluations.

    values: the JSON of one evaluation -> value of each column: fractions in [0, 1], or counts.
    file: that JSON file and the command that writes it. partial: columns that were not evaluated
    are shown as "-"; at least one must be there. counts: the values are numbers of photos.
    """

    title: str
    values: Callable[[dict], dict[str, float | None]]
    file: str
    partial: bool = False
    counts: bool = False
    note: str = ""


def scores(report: dict) -> dict:
    """The scores of the finest level; the answer of LIP's server may hold nothing else."""
    return report["levels"][0] if "levels" in report else report


def class_iou(report: dict) -> dict:
    """IoU of every class of the finest level, and their mean."""
    level = report["levels"][0]
    return {**level["iou"], "mean": level["mean_iou"]}


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


_EVALUATE = "FILE.json of `hparse evaluate --workdir=RUN --output=FILE.json"
_FACTORS = f"{_EVALUATE} --factors=occlusion.txt,back-view.txt,derived`"
TABLES = {
    "table2": Table("LIP val (%)", scores, f"{_EVALUATE}`"),
    "table3": Table(
        "LIP test (%)",
        scores,
        "FILE.json, the answer of LIP's server to submission/lip_test.zip of "
        "`hparse predict --workdir=RUN --split=test --output=submission`",
        note='as fractions: {"pixel_accuracy": ..., "mean_accuracy": ..., "mean_iou": ...}',
    ),
    "table4": Table("LIP val: IoU of every class (%)", class_iou, f"{_EVALUATE}`"),
    "table5": Table("PASCAL-Person-Part: IoU of every part (%)", class_iou, f"{_EVALUATE}`"),
    "table6_atr": Table(
        "Trained on LIP, tested on ATR: common classes (%)",
        scores,
        f"{_EVALUATE} --dataset=atr --split=test --correspondence=lip_atr`",
        note="the left of Table 6; its numbers are missing from our copy of the paper's text but "
        "for three of unknown rows (21.79, 43.97, 46.85), so only ours are printed",
    ),
    "table6_object_sizes": Table(
        "Mean IoU by object size (%)",
        groups("object_sizes"),
        f"{_EVALUATE} --object_sizes`",
        partial=True,
        note="the middle of Table 6",
    ),
    "table6_input_sizes": Table(
        "Mean IoU by the photos' longer side in pixels (%)",
        groups("input_sizes"),
        f"{_EVALUATE} --input_sizes=153,321,513`",
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


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=listing(), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", choices=TABLES, metavar="TABLE", help="one of those below")
    parser.add_argument("evaluations", nargs="*", metavar="NAME=FILE.json")
    parser.add_argument("--chart", metavar="FILE.png", help="draw the table as bars, too")
    arguments = parser.parse_intermixed_args()
    if arguments.chart and not arguments.chart.endswith(".png"):
        sys.exit(f"--chart={arguments.chart}: must end in .png")
    table = TABLES[arguments.table]
    paper = json.loads(pathlib.Path(__file__).with_name("paper.json").read_text())[arguments.table]
    columns = paper["columns"]
    rows = {f"{name} (paper)": values for name, values in paper["rows"].items()}
    for item in arguments.evaluations:
        name, report, values = read(item, table)
        for key, wanted in paper["of"].items():
            if report.get(key, wanted) != wanted:
                print(f"{item}: {key} is {report[key]}, the paper's is {wanted}", file=sys.stderr)
        if f"{name} (ours)" in rows:
            sys.exit(f"{item}: {name} is there already; give every evaluation its own name")
        columns = columns or list(values)
        rows[f"{name} (ours)"] = row(item, table, values, columns)
    show(columns, rows)
    if arguments.chart:
        draw(table, columns, rows, arguments.chart)


def listing() -> str:
    """The tables for --help: name, title, file and note."""
    lines = ["tables:"]
    for name, table in TABLES.items():
        lines += [f"  {name}: {table.title}", f"      {table.file}"]
        lines += [f"      {line}" for line in textwrap.wrap(table.note, 94)]
    return "\n".join(lines)


def read(item: str, table: Table) -> tuple[str, dict, dict]:
    """NAME=FILE.json -> (NAME, the JSON, its values). Exits with one line for another file."""
    name, _, file = item.partition("=")
    try:
        if not file:
            raise ValueError("no NAME=")
        report = json.loads(pathlib.Path(file).read_text())
        values = table.values(report)
        if not isinstance(report, dict) or not isinstance(values, dict):
            raise TypeError("not an evaluation")
        return name, report, values
    except KeyError as error:
        sys.exit(f"{item}: holds no {error.args[0]}; give {table.file}")
    except (OSError, ValueError, TypeError, IndexError, AttributeError) as error:
        sys.exit(f"{item}: give NAME={table.file} ({error})")


def row(item: str, table: Table, values: dict, columns: Sequence[str]) -> Row:
    """The values under the columns. Exits with one line when they cannot be this table's."""
    missing = [column for column in columns if column not in values]
    if missing == list(columns):
        sys.exit(f"{item}: has none of {', '.join(columns)}; give {table.file}")
    if missing and not table.partial:
        sys.exit(f"{item}: holds no {missing[0]}; give {table.file}")
    found = [values.get(column) for column in columns]
    numbers = [value for value in found if value is not None]
    kinds = int if table.counts else int | float
    if not all(isinstance(value, kinds) and value >= 0 for value in numbers):
        sys.exit(f"{item}: holds {found} for {', '.join(columns)}; numbers are wanted")
    if table.counts:
        return found
    if max(numbers, default=0) > 1:
        sys.exit(f"{item}: holds {max(numbers)}; scores are fractions up to 1")
    return [None if value is None else 100.0 * value for value in found]


def show(columns: Sequence[str], rows: Mapping[str, Row]) -> None:
    """Prints the rows under their columns, or a wide table the other way round."""
    cells = [["", *columns], *([name, *map(text, values)] for name, values in rows.items())]
    if len(columns) > _WIDE:
        cells = list(zip(*cells, strict=True))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for first, *others in cells:
        line = [f"{cell:>{width}}" for cell, width in zip(others, widths[1:], strict=True)]
        print("  ".join([f"{first:{widths[0]}}", *line]))


def text(value: float | int | None) -> str:
    return "-" if value is None else str(value) if isinstance(value, int) else f"{value:.2f}"


def draw(table: Table, columns: Sequence[str], rows: Mapping[str, Row], file: str) -> None:
    """Writes the chart; paper's counts do not stand beside scores."""
    sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
    from charts import bar_chart  # matplotlib is needed for charts alone

    bars = {
        name: [[] if value is None else [value] for value in values]
        for name, values in rows.items()
        if table.counts or not any(isinstance(value, int) for value in values)
    }
    try:
        form = ".0f" if table.counts else ".2f"
        bar_chart(table.title, columns, bars, pathlib.Path(file), form)
    except OSError as error:
        sys.exit(f"--chart={file}: cannot be written ({error})")


if __name__ == "__main__":
    main()
