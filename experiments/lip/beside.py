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
Reader = Callable[[dict, list[str]], list[float | None]]


def paper(table: str) -> dict:
    """{"of": what an evaluation must be of, "columns", "rows": in percent} of a table."""
    return json.loads((pathlib.Path(__file__).parent / "paper.json").read_text())[table]


def ours(
    description: str,
    read: Reader,
    table: str,
    title: str,
    chart_paper: bool = True,
    counts: bool = False,
) -> None:
    """The whole script: reads the command line, prints and draws.

    read: (an evaluation, the table's columns) -> its values as fractions. chart_paper: whether the
    paper's rows are of the same kind, so that the chart shows them, too. counts: the values are
    numbers of photos instead.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("evaluations", nargs="*", metavar="NAME=FILE.json")
    parser.add_argument("--chart", help="a picture of all columns")
    arguments = parser.parse_args()
    known = paper(table)
    columns = known["columns"]
    from_paper = {f"{name} (paper)": values for name, values in known["rows"].items()}
    unit = 1 if counts else 100
    printed = dict(from_paper)
    for item in arguments.evaluations:
        name, values = evaluation(item, read, known)
        if f"{name} (ours)" in printed:
            sys.exit(f"{item}: {name} is there already; give every evaluation its own name")
        printed[f"{name} (ours)"] = [None if v is None else unit * v for v in values]
    show(columns, printed, ".0f" if counts else ".2f")
    if arguments.chart:
        drawn = {n: v for n, v in printed.items() if chart_paper or n not in from_paper}
        bars = {
            f"{column}, {name}": [None if values[i] is None else values[i] / unit]
            for i, column in enumerate(columns)
            for name, values in drawn.items()
        }
        draw(title, bars, arguments.chart, ".0f" if counts else ".4f")


def evaluation(item: str, read: Reader, known: dict) -> tuple[str, list[float | None]]:
    """NAME=FILE.json -> (NAME, its values). Exits with one line for a file of another kind, and
    says so when it is of other photos than the paper's rows."""
    name, _, file = item.partition("=")
    try:
        if not file:
            raise ValueError("no NAME=")
        report = json.loads(pathlib.Path(file).read_text())
        values = read(report, known["columns"])
    except KeyError as error:
        (key,) = error.args
        hint = f" --{key}" if key in ("factors", "object_sizes", "input_sizes") else ""
        sys.exit(f"{item}: holds no {key}; give a file of `hparse evaluate{hint}`")
    except (OSError, ValueError, TypeError, IndexError, AttributeError) as error:
        sys.exit(f"{item}: give NAME=FILE.json of `hparse evaluate` ({error})")
    numbers = [v for v in values if v is not None]
    if not all(isinstance(v, int | float) and v >= 0 for v in numbers):
        sys.exit(f"{item}: holds {values} for {', '.join(known['columns'])}; numbers are wanted")
    if not known.get("counts") and max(numbers, default=0) > 1:
        sys.exit(f"{item}: holds {max(numbers)}; scores are fractions up to 1")
    for key, wanted in known["of"].items():
        if report.get(key, wanted) != wanted:
            print(f"{item}: {key} is {report[key]}, the paper's rows: {wanted}", file=sys.stderr)
    return name, values


def show(columns: Sequence[str], rows: Rows, form: str) -> None:
    """Prints rows under their columns."""
    width = max(map(len, rows), default=0) + 2
    widths = [max(len(column), 6) + 2 for column in columns]
    print(" " * width + "".join(f"{c:>{w}}" for c, w in zip(columns, widths, strict=True)))
    for name, values in rows.items():
        cells = ["-" if v is None else f"{v:{form}}" for v in values]
        print(f"{name:{width}}" + "".join(f"{c:>{w}}" for c, w in zip(cells, widths, strict=True)))


def draw(title: str, bars: Rows, file: str, form: str) -> None:
    """Writes the chart; exits with one line when that cannot be done."""
    try:
        bar_chart(title, bars, pathlib.Path(file), form)
    except (OSError, ValueError) as error:
        sys.exit(f"{file}: cannot be written ({error}); end it in .jpg or .png")


def overall(report: dict, columns: list[str]) -> list[float | None]:
    """Scores of the finest level by their names; a server's answer may hold them alone."""
    scores = report["levels"][0] if "levels" in report else report
    return [scores[column] for column in columns]


def per_class(report: dict, columns: list[str]) -> list[float | None]:
    """IoU of each class, and their mean."""
    scores = report["levels"][0]
    iou = {**scores["iou"], "mean": scores["mean_iou"]}
    return [iou[column] for column in columns]


def part(analysis: str, value: str = "mean_iou") -> Reader:
    """A value of the groups of an analysis; a group that was not scored is left out."""

    def read(report, columns):
        groups = report[analysis]
        if not any(column in groups for column in columns):
            raise ValueError(f"{analysis} has none of {', '.join(columns)}")
        return [groups[column][value] if column in groups else None for column in columns]

    return read
