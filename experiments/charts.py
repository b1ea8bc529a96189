"""Bars, dots and lines of the experiments, drawn with matplotlib (the extra `charts`)."""

import math
import pathlib
import statistics
from collections.abc import Mapping, Sequence

try:
    from matplotlib import colormaps
    from matplotlib.figure import Figure
except ImportError as error:
    raise SystemExit(
        f"a chart needs matplotlib ({error}); pip install 'hparse_jax[charts]'"
    ) from error

_PANEL = 56  # bars in one column of the figure; more groups go into a further column
_BAR, _WIDTH = 0.16, 4.6  # inches: the height of a bar, the width of a column
_HEIGHT, _LEGEND = 0.9, 1.9  # inches for title and axis, and for the legend
_COLOURS = colormaps["tab20"].colors


def bar_chart(
    title: str,
    groups: Sequence[str],
    series: Mapping[str, Sequence[Sequence[float]]],
    path: pathlib.Path,
    form: str = ".2f",
) -> None:
    """Writes `bar_figure` as a PNG; the same input gives the same bytes.

    Raises OSError when the file cannot be written.
    """
    _save(bar_figure(title, groups, series, form), path)


def dot_chart(
    title: str,
    rows: Sequence[str],
    panels: Mapping[str, Sequence[Sequence[float]]],
    path: pathlib.Path,
) -> None:
    """Writes `dot_figure` as a PNG; the same input gives the same bytes.

    Raises OSError when the file cannot be written.
    """
    _save(dot_figure(title, rows, panels), path)


def line_chart(
    title: str,
    panels: Mapping[str, Mapping[str, tuple[Sequence[float], Sequence[float]]]],
    path: pathlib.Path,
    x_label: str,
    diagonal: bool = False,
) -> None:
    """Writes `line_figure` as a PNG; the same input gives the same bytes.

    Raises OSError when the file cannot be written.
    """
    _save(line_figure(title, panels, x_label, diagonal), path)


def _save(figure: Figure, path: pathlib.Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png", metadata={"Software": None})  # no version of matplotlib


def bar_figure(
    title: str,
    groups: Sequence[str],
    series: Mapping[str, Sequence[Sequence[float]]],
    form: str = ".2f",
) -> Figure:
    """One bar for each series in each group, the groups in as many columns as are readable.

    series: name -> for every group its values, e.g. one for each seed. The bar is their mean,
    written with `form`; if there are several, each is a dot. No value: "-".
    """
    columns = max(1, math.ceil(len(groups) * len(series) / _PANEL))
    rows = math.ceil(len(groups) / columns)
    height = rows * (len(series) + 0.6) * _BAR + _HEIGHT
    width = columns * _WIDTH + (_LEGEND if len(series) > 1 else 0)
    figure = Figure((width, height), dpi=110, layout="constrained")
    figure.suptitle(title)
    known = [value for cells in series.values() for values in cells for value in values]
    for column, axes in enumerate(figure.subplots(1, columns, squeeze=False)[0]):
        part = slice(column * rows, (column + 1) * rows)
        _panel(axes, groups[part], {name: cells[part] for name, cells in series.items()}, form)
        axes.set_xlim(0, 1.14 * max(known, default=0) or 1)  # space for the numbers
    if len(series) > 1:
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right upper", fontsize=8)
    return figure


def _panel(axes, groups: Sequence[str], series: Mapping, form: str) -> None:
    step = 1 / (len(series) + 0.6)
    for index, (name, cells) in enumerate(series.items()):
        places = [row + (index - (len(series) - 1) / 2) * step for row in range(len(groups))]
        means = [sum(values) / len(values) if values else 0 for values in cells]
        # every second colour of the map is a paler one
        colour = _COLOURS[2 * index % 20 + index // 10 % 2]
        axes.barh(places, means, 0.9 * step, color=colour, label=name)
        for place, mean, values in zip(places, means, cells, strict=True):
            text = f"{mean:{form}}" if values else "-"
            end = max([mean, *values])
            axes.annotate(
                text, (end, place), (5, 0), textcoords="offset points", va="center", fontsize=7
            )
            if len(values) > 1:
                axes.scatter(values, [place] * len(values), 7, color="black", zorder=3)
    axes.set_yticks(range(len(groups)), groups)
    axes.set_ylim(max(1, len(groups)) - 0.5, -0.5)  # the first group on top
    axes.spines[["top", "right"]].set_visible(False)


def dot_figure(
    title: str, rows: Sequence[str], panels: Mapping[str, Sequence[Sequence[float]]]
) -> Figure:
    """A panel for each measure, with a scale of its own that need not start at 0.

    panels: measure -> for every row its values, e.g. one for each seed: a dot each; their mean is a
    bar across the row, their standard deviation a line along it.
    """
    size = (_LEGEND + 0.7 * _WIDTH * len(panels), 2 * _BAR * len(rows) + _HEIGHT)
    figure = Figure(size, dpi=110, layout="constrained")
    figure.suptitle(title, fontsize=10)
    every = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (measure, cells) in zip(every, panels.items(), strict=True):
        for place, values in enumerate(cells):
            if values:
                mean = statistics.mean(values)
                deviation = statistics.stdev(values) if len(values) > 1 else 0
                axes.errorbar(mean, place, xerr=deviation, fmt="|", color=_COLOURS[0], ms=14, mew=2)
                axes.scatter(values, [place] * len(values), 10, color="black", zorder=3)
        axes.set_xlabel(measure)
        axes.grid(axis="y", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    every[0].set_yticks(range(len(rows)), rows)
    every[0].set_ylim(max(1, len(rows)) - 0.5, -0.5)  # the first row on top
    return figure


def line_figure(
    title: str,
    panels: Mapping[str, Mapping[str, tuple[Sequence[float], Sequence[float]]]],
    x_label: str,
    diagonal: bool = False,
) -> Figure:
    """A panel for each measure, in it a line for each series: name -> (x values, y values).

    diagonal: both axes go from 0 to 1, and a thin line shows where they are equal.
    """
    figure = Figure((_WIDTH * len(panels), 0.8 * _WIDTH), dpi=110, layout="constrained")
    figure.suptitle(title, fontsize=10)
    every = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (measure, series) in zip(every, panels.items(), strict=True):
        if diagonal:
            axes.plot([0, 1], [0, 1], color="grey", lw=0.7)
            axes.set(xlim=(0, 1), ylim=(0, 1))
        for index, (name, (x, y)) in enumerate(series.items()):
            axes.plot(x, y, marker=".", ms=4, color=_COLOURS[2 * index % 20], label=name)
        axes.set(xlabel=x_label, title=measure)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        if len(series) > 1:
            axes.legend(fontsize=8)
    return figure
