"""LIP's numbers, the configs of its baselines, and the scripts' answers to wrong files."""

import json
import pathlib
import re
import runpy
import subprocess
import sys

import pytest

from hparse_jax.config import validate
from hparse_jax.errors import InputError

ROOT = pathlib.Path(__file__).parents[1]
SCRIPTS = ROOT / "experiments" / "lip"
TABLES = ROOT.parent / "shared" / "reference" / "paper_tables.json"


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("table2", "lip_ssl_table2_val"),
        ("table3", "lip_ssl_table3_test"),
        ("table5", "lip_ssl_table5_pascal_person_part_iou"),
    ],
)
def test_the_papers_numbers_are_those_of_another_copy(ours, theirs):
    if not TABLES.is_file():
        pytest.skip("needs shared/reference/paper_tables.json beside the checkout")
    copy = json.loads(TABLES.read_text())[theirs]
    columns = copy.pop("columns")
    table = json.loads((SCRIPTS / "paper.json").read_text())[ours]
    assert table["rows"] == {name: row for name, row in copy.items() if len(row) == len(columns)}
    assert len(table["columns"]) == len(columns)


@pytest.mark.parametrize("table", ["table4", "table6_object_sizes", "table6_input_sizes"])
def test_other_rows_agree_with_the_means_of_the_paper(table):
    """Means of Table 4's rows are in Table 2; every row has a number, or none, for each column."""
    tables = json.loads((SCRIPTS / "paper.json").read_text())
    for name, row in tables[table]["rows"].items():
        assert len(row) == len(tables[table]["columns"])
        if table == "table4":
            assert row[-1] == tables["table2"]["rows"][name][2]
            assert sum(row[:-1]) / 20 == pytest.approx(row[-1], abs=0.02)


# batch, crop, epochs of LIP section 5.1; rates of the networks' papers and of LIP's released code
@pytest.mark.parametrize("file", ["lip", "pascal_person_part"])
@pytest.mark.parametrize(
    ("name", "rate", "new_layers"),
    [("segnet", 0.1, 1), ("fcn8s", 1e-4, 10), ("deeplab_v2", 1e-3, 10), ("attention", 1e-4, 10)],
)
@pytest.mark.parametrize(
    ("step", "epochs", "structure"),
    [("", 30, "none"), ("-ssl", 20, "product"), ("-more", 20, "none")],
)
def test_the_variants_of_the_baselines(file, name, rate, new_layers, step, epochs, structure):
    made = runpy.run_path(str(ROOT / "configs" / f"{file}_baselines.py"))
    config = made["get_config"](name + step)
    validate(config)
    assert (config.dataset, config.model.name) == (file, name)
    assert (config.epochs, config.loss.structure) == (epochs, structure)
    assert (config.batch_size, config.crop, config.scale) == (10, (321, 321), (0.6, 1.4))
    optimizer = config.optimizer
    assert (optimizer.base_lr, optimizer.new_layers_multiplier) == (rate, new_layers)
    assert (optimizer.momentum, optimizer.weight_decay) == (0.9, 5e-4)
    assert config.loss.auxiliary_weight == 1.0


def test_other_variants_are_refused():
    made = runpy.run_path(str(ROOT / "configs" / "lip_baselines.py"))
    for variant in ("", "unet", "attention-", "attention-x"):
        with pytest.raises(InputError, match="one of segnet, fcn8s, deeplab_v2, attention"):
            made["get_config"](variant)


def refused(script, *arguments):
    """The one line of a script's refusal."""
    done = subprocess.run(
        [sys.executable, SCRIPTS / f"{script}.py", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    return line


def test_table_5_finds_the_parts_by_their_names(tmp_path):
    parts = ("background", "head", "torso", "upper-arm", "lower-arm", "upper-leg", "lower-leg")
    iou = {name: (10 + i) / 100 for i, name in enumerate(parts)}
    level = {"iou": iou, "mean_iou": 0.25}
    (tmp_path / "scores.json").write_text(json.dumps({"levels": [level]}))
    done = subprocess.run(
        [sys.executable, SCRIPTS / "table5.py", f"Ours={tmp_path / 'scores.json'}"],
        capture_output=True,
        text=True,
        check=True,
    )
    ours = done.stdout.splitlines()[-1].split()[-8:]
    assert ours == ["11.00", "12.00", "13.00", "14.00", "15.00", "16.00", "10.00", "25.00"]


LEVEL = {"pixel_accuracy": 0.5, "mean_accuracy": 0.4, "mean_iou": 0.3}


@pytest.mark.parametrize(
    ("script", "tree", "message"),
    [
        ("table2", [], "give NAME=FILE.json"),
        ("table2", {"levels": [{"mean_iou": 1}]}, "holds no pixel_accuracy"),
        ("table2", {"levels": [LEVEL | {"mean_iou": "high"}]}, "numbers are wanted"),
        ("table3", LEVEL | {"mean_iou": 44.73}, "scores are fractions up to 1"),
        ("figure4", {"factors": {"occlusion": 5}}, "give NAME=FILE.json"),
        ("figure5", {"levels": []}, "holds no factors; .*--factors"),
        ("table6_sizes", {"levels": []}, "holds no object_sizes; .*--object_sizes"),
        ("table6_inputs", {"input_sizes": {"65": LEVEL}}, "has none of 153, 321, 513"),
    ],
)
def test_a_file_of_another_kind_is_refused_in_one_line(tmp_path, script, tree, message):
    (tmp_path / "scores.json").write_text(json.dumps(tree))
    line = refused(script, f"Ours={tmp_path / 'scores.json'}")
    assert line.startswith("Ours=")
    assert re.search(message, line)


def test_wrong_commands_of_the_scripts_are_refused_in_one_line(tmp_path):
    good = tmp_path / "good.json"
    good.write_text(json.dumps({"levels": [LEVEL]}))
    assert "no NAME=" in refused("table2", good)
    assert "Ours is there already" in refused("table2", f"Ours={good}", f"Ours={good}")
    assert "end it in .jpg" in refused("table2", f"Ours={good}", f"--chart={tmp_path / 'chart'}")
    assert "metadata.json" in refused("figure3", good, tmp_path / "chart.jpg")
    assert "not a workdir" in refused("figure7", f"--workdir={tmp_path}", "--output=x.jpg")
