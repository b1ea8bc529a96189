"""CNIF's tables: the paper's numbers, and evaluations beside them. What they share with LIP's is
tested in test_tables.py."""

import json
import pathlib
import re
import subprocess
import sys

import pytest

CNIF = pathlib.Path(__file__).parents[2] / "experiments" / "cnif"
COPY = pathlib.Path(__file__).parents[3] / "shared" / "reference" / "paper_tables.json"
PAPER = json.loads((CNIF / "paper.json").read_text())
FIVE = {"pixel_accuracy": 0.9, "foreground_accuracy": 0.8, "precision": 0.5, "recall": 0.25}


def run(*arguments, code=0):
    """The finished process of such a command."""
    command = [sys.executable, CNIF / "tables.py", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done


def written(path, tree):
    path.write_text(json.dumps(tree))
    return path


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("table1", "cnif_table1_lip_val"),
        ("table2", "cnif_table2_lip_val_iou"),
        ("table3", "cnif_table3_pascal_person_part_iou"),
        ("table4", "cnif_table4_atr"),
        ("table5", "cnif_table5_fashion_clothing"),
    ],
)
def test_the_papers_numbers_are_those_of_another_copy(ours, theirs):
    """Which has some of the rows only."""
    if not COPY.is_file():
        pytest.skip("needs shared/reference/paper_tables.json beside the checkout")
    copy = json.loads(COPY.read_text())[theirs]
    assert PAPER[ours]["columns"] == copy.pop("columns")
    copy.pop("note", None)
    assert PAPER[ours]["rows"] | copy == PAPER[ours]["rows"]


@pytest.mark.parametrize("table", ["table2", "table3"])
def test_the_rows_of_the_classes_have_the_mean_that_the_paper_prints(table):
    for name, row in PAPER[table]["rows"].items():
        assert len(row) == len(PAPER[table]["columns"])
        if row[0] is not None and (table, name) != ("table2", "DeepLabV2"):  # see tables.py
            assert sum(row[:-1]) / len(row[:-1]) == pytest.approx(row[-1], abs=0.015)


def test_table_2_has_the_means_of_table_1():
    means = {name: row[-1] for name, row in PAPER["table2"]["rows"].items()}
    assert means.items() <= {name: row[2] for name, row in PAPER["table1"]["rows"].items()}.items()


@pytest.mark.parametrize("table", ["table4", "table5"])
@pytest.mark.parametrize("name", ["CNIF", "TGPNet", "Attention"])
def test_f1_is_the_harmonic_mean_where_the_note_says_so(table, name):
    *_, precision, recall, f1 = PAPER[table]["rows"][name]
    assert 2 * precision * recall / (precision + recall) == pytest.approx(f1, abs=0.01)


def test_the_help_names_every_table_with_its_command():
    listing = run("--help").stdout
    entries = re.findall(r"^  (\w+): .+\n((?: {6}.+\n)+)", listing, re.M)
    assert [table for table, _ in entries] == list(PAPER)
    assert all("`hparse evaluate " in text for _, text in entries)


def test_our_f1_is_that_of_the_means(tmp_path):
    level = FIVE | {"f1_of_means": 0.375, "mean_of_f1": 0.1}
    file = written(tmp_path / "scores.json", {"dataset": "atr", "levels": [level]})
    lines = run("table4", f"Ours={file}").stdout.splitlines()
    assert lines[-2].split()[-5:] == ["96.26", "87.91", "84.62", "86.41", "85.51"]
    assert lines[-1].split() == ["Ours", "(ours)", "90.00", "80.00", "50.00", "25.00", "37.50"]
    file = written(tmp_path / "lip.json", {"levels": [FIVE]})
    assert "holds no f1_of_means" in run("table5", f"Ours={file}", code=1).stderr


def test_table_6_has_the_levels_that_there_are(tmp_path):
    levels = [{"mean_iou": x} for x in (0.5, 0.25, 0.125)]
    full = written(tmp_path / "full.json", {"levels": levels})
    backbone = written(tmp_path / "backbone.json", {"levels": levels[:1]})
    lines = run("table6", f"full={full}", f"backbone={backbone}").stdout.splitlines()
    assert lines[-2].split()[2:] == ["50.00", "25.00", "12.50"]
    assert lines[-1].split()[2:] == ["50.00", "-", "-"]
