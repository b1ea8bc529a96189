"""`hparse train` up to the first step: the config file, its overrides, and every wrong one."""

import ast
import re
import subprocess

import pytest
from command_line import hparse

from hparse_jax.commands import train as command
from hparse_jax.config import Config, flat, validate
from hparse_jax.config_files import read_config
from hparse_jax.errors import InputError

GOOD = """
from hparse_jax.config import Config
with open("runs.txt", "a") as file:
    file.write("run ")
def get_config(depth="101"):
    config = Config(crop=(65, 33))
    config.model.depth = int(depth)
    return config
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A working folder that holds good.py; what would be trained is printed."""

    def show(config, workdir, max_minutes):
        validate(config)
        print([workdir, max_minutes, flat(config)])
        return True

    (tmp_path / "good.py").write_text(GOOD)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "train", show)


def train(*arguments: str) -> subprocess.CompletedProcess:
    return hparse("train", *arguments)


def told(process: subprocess.CompletedProcess, code: int) -> str:
    """The first line on stderr; the only one for a wrong input."""
    assert process.returncode == code, process.stderr
    lines = process.stderr.splitlines()
    assert len(lines) == code  # wrong usage, code 2, shows the usage too
    return lines[0]


def test_overrides_of_every_type_reach_the_run_and_the_file_runs_once(tmp_path):
    done = train(
        *(
            "--config=good.py:50",
            "--workdir=w",
            "--max_minutes=230",
            "--config.crop=257,129",
            "--noconfig.flip",
        ),
        *("--config.optimizer.base_lr=1", "--config.eval_scales=0.5", "--config.seed", "3"),
        *("--config.dataset=7", "--config.loss.level_weights=(1, 0.5)", "--config.model.auxiliary"),
    )
    assert (done.returncode, done.stderr) == (0, "")
    workdir, max_minutes, values = ast.literal_eval(done.stdout)
    changes = {
        "model.depth": 50,
        "crop": (257, 129),
        "flip": False,
        "optimizer.base_lr": 1.0,
        "eval_scales": (0.5,),
        "seed": 3,
        "dataset": "7",
        "loss.level_weights": (1, 0.5),
        "model.auxiliary": True,
    }
    assert (workdir, max_minutes) == ("w", 230)
    assert values == flat(Config()) | changes
    assert isinstance(values["optimizer.base_lr"], float)
    assert (tmp_path / "runs.txt").read_text() == "run "


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config=good.py"], "missing --workdir=..."),
        (["--workdir=w"], "missing --config=..."),
        ([], "missing --config=..., --workdir=..."),
        (["--workdir=w", "--config.seed=1"], "give --config=NAME before --config.seed"),
        (
            ["--config.seed=1", "--config=good.py"],
            "give --config=NAME before --config.seed",
        ),
        (["--config=good.py", "--config=good.py", "--workdir=w"], "--config is given 2 times; "),
        (["--config=good.py", "--config.seed"], "Missing value for flag --config.seed"),
        (["--config=good.py", "--workdir=w", "more"], "no arguments but flags, not more"),
    ],
)
def test_wrong_usage_exits_2(arguments, message):
    assert told(train(*arguments), 2).startswith(f"hparse train: {message}")


@pytest.mark.parametrize(
    ("field", "first", "last", "value"),
    [
        ("batch_size", "=8", "=4", 4),
        ("crop", "=257,257", "=129,65", (129, 65)),
        ("model.depth", "=many", "=18", 18),
        ("flip", "=true", "=false", False),
    ],
)
def test_of_a_repeated_override_the_last_one_counts_and_a_line_says_so(field, first, last, value):
    overrides = [f"--config.{field}{text}" for text in (first, "=0", last)]
    done = train("--config=good.py", "--workdir=w", *overrides)
    assert done.returncode == 0
    assert done.stderr == f"--config.{field} is given 3 times; the last one counts\n"
    assert ast.literal_eval(done.stdout)[2][field] == value


def test_a_boolean_override_and_its_negation_are_a_repetition():
    done = train("--config=good.py", "--workdir=w", "--noconfig.flip", "--config.flip")
    assert done.stderr == "--config.flip is given 2 times; the last one counts\n"
    assert ast.literal_eval(done.stdout)[2]["flip"] is True


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("batchsize=3", "config.batchsize: no such field; close are batch_size, eval_batch_size"),
        ("model.dept=18", "config.model.dept: no such field; close are model.depth"),
        ("lr=0.1", "config.lr: no such field; close are optimizer.base_lr"),
        ("xyz=1", "config.xyz: no such field; hparse train --help lists all"),
        ("=1", "config.: no such field; hparse train --help lists all"),
        ("crop[0]=1", "config.crop[0]: no such field; close are crop"),
        ("batch_size=many", "config.batch_size=many: must be a whole number above 0"),
        ("optimizer.base_lr=fast", "config.optimizer.base_lr=fast: must be a number above 0"),
        ("flip=sometimes", "config.flip=sometimes: must be true or false"),
        ("channels=grey", "config.channels=grey: must be one of rgb, bgr"),
        ("crop=257", "config.crop=257: must be two whole numbers above 0, e.g. 473,473"),
        ("crop=abc,d", "config.crop=abc,d: must be two whole numbers above 0, e.g. 473,473"),
        ("crop=(1,", "config.crop=(1,: must be two whole numbers above 0, e.g. 473,473"),
    ],
)
def test_a_wrong_field_is_one_line_naming_it(override, message):
    process = train("--workdir=w", "--config=good.py", f"--config.{override}")
    assert told(process, 1) == f"hparse train: {message}"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("bad.py", None, "bad.py: no such config file"),
        ("mine.json", '{"seed": null}', "mine.json: a config is a Python file with get_config()"),
        (
            "lpi",
            None,
            "lpi: no such config; close are lip; shipped are atr, fashion_clothing,",
        ),
        ("else/lip.py", None, "else/lip.py: no such config file; lip without a path is a shipped"),
        ("lip:deep", None, "lip: no variant 'deep'; it has none"),
        ("lip_baselines:unet", None, "lip_baselines: no variant 'unet'; one of segnet, segnet-ssl"),
        ("", None, "config=: a config is a Python file with get_config()"),
        ("bad.py", "def get_config(:", "bad.py: cannot run this file (SyntaxError: "),
        ("bad.py", "import nowhere", "(ModuleNotFoundError: No module named 'nowhere')"),
        ("bad.py", "raise SystemExit(3)", "bad.py: cannot run this file (SystemExit: 3)"),
        ("bad.py", "def get_config():\n    return {}['b']", "(KeyError: 'b')"),
        ("bad.py", "def get_config():\n    return open('x')", "(FileNotFoundError: "),
        ("bad.py", "def get_config():\n    return {}", "hparse_jax.config.Config, not dict"),
        ("bad.py", "x = 1", "bad.py: has no function get_config()"),
        ("good.py:deep", None, "good.py: cannot run this file (ValueError: "),
    ],
)
def test_a_wrong_config_file_is_named(tmp_path, name, text, message):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(InputError) as error:
        read_config(name)
    assert message in str(error.value)


@pytest.mark.parametrize("overrides", [[], ["--config.seed=3"]])
def test_a_wrong_config_file_is_one_line_of_the_command(tmp_path, overrides):
    (tmp_path / "bad.py").write_text("def get_config():\n    raise ValueError('one\\ntwo')")
    assert told(train("--workdir=w", "--config=bad.py", *overrides), 1) == (
        "hparse train: bad.py: cannot run this file (ValueError: one two)"
    )


def test_an_unknown_attribute_in_a_config_file_is_refused(tmp_path):
    file = tmp_path / "typo.py"
    file.write_text(GOOD.replace("model.depth", "model.dept"))
    with pytest.raises(InputError, match="no attribute 'dept'"):
        read_config(str(file))


def test_help_lists_every_field_with_its_default_and_meaning():
    process = train("--help")
    assert (process.returncode, process.stderr) == (0, "")
    assert max(map(len, process.stdout.splitlines())) <= 100
    rows, group = {}, ""
    for line in process.stdout.splitlines():
        title = re.search(r"--config\.(.*)NAME=VALUE", line)
        group = title[1] if title else group
        row = re.match(r"  (\w+)=(\S*)  +(\S.*)", line)
        if row:
            rows[group + row[1]] = row[2], row[3]
    assert set(rows) == set(flat(Config()))
    defaults = {name: default for name, (default, _) in rows.items()}
    shown = {"crop": "473,473", "flip": "true", "init_from": "", "eval_scales": "1.0"}
    shown |= {"optimizer.base_lr": "0.007", "loss.level_weights": "()", "model.name": "cnif"}
    assert defaults | shown == defaults
    assert rows["model.depth"][1].endswith("(one of 18, 34, 50, 101)")
