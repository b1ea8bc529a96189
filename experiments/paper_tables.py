"""A paper's tables beside our own evaluations: what lip/tables.py and cnif/tables.py share."""

import argparse
import dataclasses
import json
import pathlib
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence

Row = list[float | int | None]  # percent as float, counts as int
_WIDE = 8  # a table of more columns is printed with a line for each column
EVALUATE = "FILE.json of `hparse evaluate --workdir=RUN --output=FILE.json"  # more flags, and `


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


def main(doc: str, tables: Mapping[str, Table], paper: pathlib.Path) -> None:
    """The command line of a script. doc: its text; paper: the JSON file of the paper's rows."""
    parser = argparse.ArgumentParser(
        description=doc,
        epilog=listing(tables),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("table", choices=tables, metavar="TABLE", help="one of those below")
    parser.add_argument("evaluations", nargs="*", metavar="NAME=FILE.json")
    parser.add_argument("--chart", metavar="FILE.png", help="draw the table as bars, too")
    arguments = parser.parse_intermixed_args()
    if arguments.chart and not arguments.chart.endswith(".png"):
        sys.exit(f"--chart={arguments.chart}: must end in .png")
    table = tables[arguments.table]
    printed = json.loads(paper.read_text())[arguments.table]
    columns = printed["columns"]
    rows = {f"{name} (paper)": values for name, values in printed["rows"].items()}
    for item in arguments.evaluations:
        name, report, values = read(item, table)
        for key, wanted in printed["of"].items():
            if report.get(key, wanted) != wanted:
                print(f"{item}: {key} is {report[key]}, the paper's is {wanted}", file=sys.stderr)
        if f"{name} (ours)" in rows:
            sys.exit(f"{item}: {name} is there already; give every evaluation its own name")
        columns = columns or list(values)
        rows[f"{name} (ours)"] = row(item, table, values, columns)
    show(columns, rows)
    if arguments.chart:
        draw(table, columns, rows, arguments.chart)


def listing(tables: Mapping[str, Table]) -> str:
    """The tables for --help: name, title, file and note."""
    lines = ["tables:"]
    for name, table in tables.items():
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
