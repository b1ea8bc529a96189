"""Bars and dots of the experiments: lengths, places and numbers, the size of a large chart."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from load_script import load_script
from PIL import Image

EXPERIMENTS = pathlib.Path(__file__).parents[2] / "experiments"


@pytest.fixture(scope="module")
def charts():
    return load_script("charts.py")


def test_a_bar_is_the_mean_of_its_dots(charts):
    seeds = {"base": [[1.0, 2.0, 6.0], []], "more": [[4.0], [0.5]]}
    (axes,) = charts.bar_figure("title", ["parts", "body"], seeds, ".1f").axes
    widths = {bars.get_label(): [bar.get_width() for bar in bars] for bars in axes.containers}
    assert widths == {"base": [3.0, 0.0], "more": [4.0, 0.5]}
    (dots,) = axes.collections  # one value alone is no dot
    first = axes.containers[0][0]
    middle = first.get_y() + first.get_height() / 2
    np.testing.assert_allclose(dots.get_offsets(), [[1, middle], [2, middle], [6, middle]])
    assert [text.get_text() for text in axes.texts] == ["3.0", "-", "4.0", "0.5"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["parts", "body"]


def test_the_bars_of_a_group_lie_side_by_side_in_order(charts):
    series = {f"system {i}": [[1.0]] * 3 for i in range(7)}
    (axes,) = charts.bar_figure("title", list("abc"), series).axes
    spans = [(bar.get_y(), bar.get_y() + bar.get_height()) for c in axes.containers for bar in c]
    edges = np.sort(spans, axis=0).ravel()
    assert (np.diff(edges) > 0).all()  # no bar over another
    for group, bars in enumerate(zip(*axes.containers, strict=True)):
        tops = [bar.get_y() for bar in bars]
        assert tops == sorted(tops)
        assert group - 0.5 < tops[0] < tops[-1] < group + 0.5
    assert axes.yaxis_inverted()


def test_a_chart_of_many_bars_has_columns_of_one_scale(charts, tmp_path):
    groups = [f"class {i}" for i in range(21)]
    series = {f"system {i}": [[i + g / 21] for g in range(21)] for i in range(7)}
    figure = charts.bar_figure("Table 4", groups, series)
    labels = [label.get_text() for axes in figure.axes for label in axes.get_yticklabels()]
    assert labels == groups
    assert len({axes.get_xlim() for axes in figure.axes}) == 1
    charts.bar_chart("Table 4", groups, series, tmp_path / "new" / "chart.png")
    with Image.open(tmp_path / "new" / "chart.png") as picture:
        width, height = picture.size
    assert max(width, height) < 2000
    assert 1 < width / height < 2


def test_dots_lie_at_their_values_around_mean_and_deviation(charts):
    panels = {"parts": [[1.0, 2.0, 6.0], []], "body": [[4.0], [0.5, 1.5]]}
    figure = charts.dot_figure("title", ["base", "more"], panels)
    parts, body = figure.axes
    assert [axes.get_xlabel() for axes in figure.axes] == ["parts", "body"]
    assert [label.get_text() for label in parts.get_yticklabels()] == ["base", "more"]
    assert parts.yaxis_inverted()
    _, dots = parts.collections  # after the line of the deviation
    np.testing.assert_allclose(dots.get_offsets(), [[1, 0], [2, 0], [6, 0]])
    (bar,) = parts.containers
    assert bar[0].get_xydata().tolist() == [[3.0, 0.0]]
    # sqrt((4 + 1 + 9) / 2) to both sides
    (line,) = bar[2][0].get_segments()
    np.testing.assert_allclose(line, [[3 - 7**0.5, 0], [3 + 7**0.5, 0]])
    assert [bar[0].get_xydata().tolist() for bar in body.containers] == [[[4.0, 0.0]], [[1.0, 1.0]]]


def test_the_same_values_give_the_same_file(charts, tmp_path):
    for name in ("a.png", "b.png"):
        charts.bar_chart("title", ["x", "y"], {"one": [[1.0, 2.0], []]}, tmp_path / name)
        charts.dot_chart("title", ["x", "y"], {"one": [[1.0, 2.0], []]}, tmp_path / f"dots_{name}")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "dots_a.png").read_bytes() == (tmp_path / "dots_b.png").read_bytes()


def test_without_matplotlib_the_remedy_is_named(tmp_path):
    (tmp_path / "matplotlib.py").write_text("raise ImportError('no module matplotlib')")
    script = EXPERIMENTS / "lip" / "tables.py"
    command = [sys.executable, script, "table2"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [*command, f"--chart={tmp_path / 'chart.png'}"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "pip install 'hparse_jax[charts]'" in line
    # the table itself needs none
    subprocess.run(command, env=environment, capture_output=True, check=True)


def test_a_line_is_drawn_for_each_series_of_a_panel(charts):
    panels = {
        "parts": {"a": ([0, 1], [0.2, 0.4]), "b": ([0, 2], [0.1, 0.1])},
        "body": {"a": ([3], [1])},
    }
    parts, body = charts.line_figure("title", panels, "epoch").axes
    assert [line.get_xydata().tolist() for line in parts.lines] == [
        [[0, 0.2], [1, 0.4]],
        [[0, 0.1], [2, 0.1]],
    ]
    assert [text.get_text() for text in parts.get_legend().texts] == ["a", "b"]
    assert body.get_legend() is None
    assert (body.get_title(), body.get_xlabel()) == ("body", "epoch")
