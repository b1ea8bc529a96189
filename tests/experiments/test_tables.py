"""LIP's tables: the paper's numbers, and evaluations beside them. The scripts run as a user runs
them; tests/commands/test_evaluate.py has them read what `hparse evaluate` wrote."""

import json
import pathlib
import re
import subprocess
import sys

import pytest

LIP = pathlib.Path(__file__).parents[2] / "experiments" / "lip"
COPY = pathlib.Path(__file__).parents[3] / "shared" / "reference" / "paper_tables.json"
PAPER = json.loads((LIP / "paper.json").read_text())
LEVEL = {"pixel_accuracy": 0.5, "mean_accuracy": 0.4, "mean_iou": 0.3}


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("table2", "lip_ssl_table2_val"),
        ("table3", "lip_ssl_table3_test"),
        ("table5", "lip_ssl_table5_pascal_person_part_iou"),
    ],
)
def test_the_papers_numbers_are_those_of_another_copy(ours, theirs):
    if not COPY.is_file():
        pytest.skip("needs shared/reference/paper_tables.json beside the checkout")
    copy = json.loads(COPY.read_text())[theirs]
    columns = copy.pop("columns")
    rows = {name: row for name, row in copy.items() if len(row) == len(columns)}
    assert PAPER[ours]["rows"] == rows
    # our classes have names in the singular
    assert PAPER[ours]["columns"] == [re.sub("(arm|leg)s$", r"\1", column) for column in columns]


@pytest.mark.parametrize("table", ["table4", "table6_object_sizes", "table6_input_sizes"])
def test_other_rows_agree_with_the_means_of_the_paper(table):
    """Means of Table 4's rows are in Table 2; every row has a number, or none, for each column."""
    for name, row in PAPER[table]["rows"].items():
        assert len(row) == len(PAPER[table]["columns"])
        if table == "table4":
            assert row[-1] == PAPER["table2"]["rows"][name][2]
            assert sum(row[:-1]) / 20 == pytest.approx(row[-1], abs=0.02)


def run(*arguments, code=0, script="tables"):
    """The finished process of such a command."""
    command = [sys.executable, LIP / f"{script}.py", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done


def refused(*arguments, **options):
    """The one line of a refusal."""
    (line,) = run(*arguments, code=1, **options).stderr.splitlines()
    return line


def written(path, tree):
    path.write_text(json.dumps(tree))
    return path


def test_the_help_names_every_table_with_its_command():
    listing = run("--help").stdout
    entries = re.findall(r"^  (\w+): .+\n((?: {6}.+\n)+)", listing, re.M)
    assert [table for table, _ in entries] == list(PAPER)
    assert all(re.search("`hparse (evaluate|predict|build) ", text) for _, text in entries)
    done = run("table7", code=2)
    assert all(table in done.stderr for table in PAPER)


def test_table_5_finds_the_parts_by_their_names(tmp_path):
    parts = ("background", "head", "torso", "upper-arm", "lower-arm", "upper-leg", "lower-leg")
    iou = {name: (10 + i) / 100 for i, name in enumerate(parts)}
    file = written(tmp_path / "scores.json", {"levels": [{"iou": iou, "mean_iou": 0.25}]})
    ours = run("table5", f"Ours={file}").stdout.splitlines()[-1].split()[-8:]
    assert ours == ["11.00", "12.00", "13.00", "14.00", "15.00", "16.00", "10.00", "25.00"]


def test_absent_classes_and_groups_are_dashes(tmp_path):
    iou = dict.fromkeys(PAPER["table4"]["columns"][:-1], 0.5) | {"scarf": None}
    groups = {"small": {"mean_iou": 0.25}}
    tree = {"levels": [{"iou": iou, "mean_iou": 0.5}], "object_sizes": groups}
    file = written(tmp_path / "scores.json", tree)
    lines = {
        row.split()[0]: row.split()[-1]
        for row in run("table4", f"A={file}").stdout.split("\n")[1:-1]
    }
    assert (lines["scarf"], lines["skirt"], lines["mean"]) == ("-", "50.00", "50.00")
    assert run("table6_object_sizes", f"A={file}").stdout.split()[-3:] == ["25.00", "-", "-"]


def test_figure_5_shows_scores_by_factor_beside_those_that_the_paper_prints(tmp_path):
    """Section 3.2: Attention drops from 42.92 on all photos to 33.50 on back views."""
    factors = {name: {"mean_iou": 0.25, "images": 3} for name in ("occlusion", "back-view")}
    tree = {"levels": [{"mean_iou": 0.5}], "factors": factors}
    lines = run("figure5", f"A={written(tmp_path / 'scores.json', tree)}").stdout.splitlines()
    rows = [re.split(r"  +", line.strip()) for line in lines]
    assert rows[0] == ["all", "occlusion", "full-body", "upper-body", "head-missed", "back-view"]
    assert rows[1] == ["LIP val, photos (paper)", "10000", "4277", "5452", "793", "112", "661"]
    assert rows[2] == ["Attention (paper)", "42.92", "-", "-", "-", "-", "33.50"]
    assert rows[3] == ["A (ours)", "50.00", "25.00", "-", "-", "-", "25.00"]
    assert PAPER["figure5"]["rows"]["Attention"][0] == PAPER["table2"]["rows"]["Attention"][2]


def test_figure_3_adds_the_splits_and_shows_the_most_frequent_class_first(tmp_path):
    train = {"background": 9, "hat": 1, "coat": 2, "255 (ignored)": 3}
    val = {"background": 4, "hat": 3, "coat": 1, "255 (ignored)": 0}
    file = written(tmp_path / "metadata.json", {"photos_with": {"train": train, "val": val}})
    lines = run("figure3", f"lip={file}").stdout.splitlines()
    assert [line.split() for line in lines] == [["hat", "coat"], ["lip", "(ours)", "4", "3"]]


def test_other_photos_than_the_papers_are_noted(tmp_path):
    file = written(tmp_path / "atr.json", {"dataset": "atr", "levels": [LEVEL]})
    done = run("table2", f"Ours={file}")
    assert "dataset is atr, the paper's is lip" in done.stderr
    assert done.stdout.split()[-3:] == ["50.00", "40.00", "30.00"]


@pytest.mark.parametrize(
    ("table", "tree", "message"),
    [
        ("table2", [], "give NAME=FILE.json"),
        ("table2", {"levels": [5]}, "give NAME=FILE.json"),
        ("table2", {"levels": [{"mean_iou": 1}]}, "holds no pixel_accuracy"),
        ("table2", {"levels": [LEVEL | {"mean_iou": "high"}]}, "numbers are wanted"),
        ("table3", LEVEL | {"mean_iou": 44.73}, "scores are fractions up to 1"),
        ("table4", {"levels": [LEVEL | {"iou": {"hat": 0.5}}]}, "holds no hair"),
        ("figure3", {"levels": [LEVEL]}, "holds no photos_with; .*metadata.json"),
        ("figure4", {"factors": {"occlusion": 5}}, "give NAME=FILE.json"),
        ("figure4", {"factors": {"occlusion": {"images": 0.5}}}, "numbers are wanted"),
        ("figure5", {"levels": []}, "holds no factors; .*--factors"),
        ("table6_object_sizes", {"levels": []}, "holds no object_sizes; .*--object_sizes"),
        ("table6_input_sizes", {"input_sizes": {"65": LEVEL}}, "has none of 153, 321, 513"),
    ],
)
def test_a_file_of_another_kind_is_refused_in_one_line(tmp_path, table, tree, message):
    file = written(tmp_path / "scores.json", tree)
    line = refused(table, f"Ours={file}")
    assert line.startswith("Ours=")
    assert re.search(message, line)


def test_wrong_commands_are_refused_in_one_line(tmp_path):
    good = written(tmp_path / "good.json", {"levels": [LEVEL]})
    assert "no NAME=" in refused("table2", good)
    assert "missing.json" in refused("table2", f"Ours={tmp_path / 'missing.json'}")
    assert "Ours is there already" in refused("table2", f"Ours={good}", f"Ours={good}")
    assert "must end in .png" in refused("table2", f"Ours={good}", f"--chart={tmp_path / 'chart'}")
    chart = good / "chart.png"
    assert "cannot be written" in refused("table2", f"Ours={good}", f"--chart={chart}")
