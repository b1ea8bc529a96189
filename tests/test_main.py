"""The command line's exit codes and messages.

One tiny module stands in for the verb `train`, so that nothing here trains or reads photos.
"""

import ast
import importlib
import pathlib
import re
import subprocess
import sys

import pytest
from command_line import hparse

from hparse_jax.__main__ import VERBS

ROOT = pathlib.Path(__file__).parents[1]
# A verb that fails as its first positional argument says.
VERB = r'''"""A stand-in.

Its second paragraph.
"""
import os
from absl import flags
from hparse_jax.errors import InputError, UsageError

class Unreadable(flags.ArgumentParser):
    def parse(self, text):
        raise InputError(f"{text}: cannot be read")

def define_flags():
    flags.DEFINE_string("workdir", None, "Folder of the run.", required=True)
    flags.DEFINE_integer("step", 7, "Which checkpoint, " + 12 * "long words " + "end.")
    flags.DEFINE_integer("size", None, "Photos at a time.", lower_bound=1)
    flags.DEFINE_enum("format", None, ["one-way", "two-way"], "What it is.")
    flags.DEFINE_bool("skip_bad", False, "Without the bad ones.")
    flags.DEFINE(Unreadable(), "input", None, "Never readable.")

def main(arguments):
    "`hparse train PHOTO...`"
    values = flags.FLAGS
    match arguments:
        case ["input"]:
            raise InputError("photo.jpg: is\nbroken; take another")
        case ["surplus"]:
            raise UsageError("no arguments but flags, not surplus")
        case ["mkdir"]:
            os.mkdir(values.workdir)
        case ["open"]:
            open(values.workdir)
        case ["denied"]:
            raise PermissionError(13, "Permission denied", "/out")
        case ["unnamed"]:
            raise OSError("the disk is gone")
        case ["interrupt"]:
            raise KeyboardInterrupt
        case ["terminated"]:
            raise SystemExit(143)
        case ["bug"]:
            raise RuntimeError("a bug")
        case ["some failed"]:
            return 1
    print([arguments, values.workdir, values.step, values.format, values.skip_bad])
'''


@pytest.fixture(autouse=True)
def stand_in(tmp_path, monkeypatch):
    """The stand-in for the verb `train`, in a folder that holds a file a.json."""
    (tmp_path / "stand_in.py").write_text(VERB)
    (tmp_path / "a.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("stand_in")
    monkeypatch.setitem(sys.modules, "hparse_jax.commands.train", module)


def told(process: subprocess.CompletedProcess, code: int) -> str:
    """The first line on stderr, after checking the exit code and that no traceback is there."""
    assert process.returncode == code, process.stderr
    assert "Traceback" not in process.stderr
    lines = process.stderr.splitlines()
    if code == 1:
        assert len(lines) == 1
    return lines[0]


@pytest.mark.parametrize("spelling", ["--skip_bad", "--skip-bad"])
def test_flags_and_positional_arguments_reach_the_verb(spelling):
    done = hparse("train", "a.jpg", "--workdir", "my-run", spelling, "b.jpg", "--", "--skip-it")
    assert (done.returncode, done.stderr) == (0, "")
    assert ast.literal_eval(done.stdout) == [
        ["a.jpg", "b.jpg", "--skip-it"],
        "my-run",
        7,
        None,
        True,
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "which verb?"),
        (["trian"], "no verb 'trian'; did you mean train?"),
        (["trian", "--help"], "did you mean train?"),
        (["help", "trian"], "did you mean train?"),
        (["evalute", "--workdir=w"], "did you mean evaluate?"),
        (["train"], "missing --workdir=..."),
        (["train", "--workdir=w", "--stpe=3"], "no flag --stpe; did you mean --step?"),
        (["train", "--workdir=w", "--step=last"], "--step=last: must be an integer"),
        (["train", "--workdir=w", "--size=0"], "--size=0: must be a positive integer"),
        (["train", "--workdir=w", "--format=3"], "--format=3: value should be one of <one-way|"),
        (["train", "--workdir=w", "--skip_bad=no"], "--skip_bad=no: takes only true or false"),
        (["train", "--workdir=w", "--noskip_bad=1"], "--noskip_bad=1 does not take an argument"),
        (["train", "--workdir=a", "--workdir=b"], "--workdir is given 2 times; give it once"),
        (["train", "--workdir=a", "--skip-bad", "--noskip_bad"], "--skip_bad is given 2 times"),
        (["train", "surplus", "--workdir=w"], "not surplus"),
    ],
)
def test_wrong_usage_exits_2_and_shows_the_usage(arguments, message):
    process = hparse(*arguments)
    assert message in told(process, 2)
    assert "usage: hparse" in process.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["input"], "photo.jpg: is broken; take another"),
        (["--input=x: y"], "x: y: cannot be read"),
        (["denied"], "/out: permission denied; change the permissions, or give another path"),
        (["unnamed"], "the disk is gone"),
    ],
)
def test_a_wrong_input_exits_1_with_one_line(arguments, message):
    assert told(hparse("train", "--workdir=w", *arguments), 1) == f"hparse train: {message}"


@pytest.mark.parametrize(
    ("failure", "path", "message"),
    [
        ("mkdir", "a.json", "exists already and is a file; give the path of a folder"),
        ("mkdir", "a.json/b", "a part of this path is a file, not a folder; give another path"),
        ("mkdir", "none/b", "no such file or folder"),
        ("open", ".", "is a folder; give the path of a file"),
    ],
)
def test_an_error_of_the_file_system_names_the_path_and_the_remedy(failure, path, message):
    assert told(hparse("train", failure, f"--workdir={path}"), 1) == (
        f"hparse train: {path}: {message}"
    )


@pytest.mark.parametrize(("failure", "code"), [("some failed", 1), ("interrupt", 130)])
def test_other_ends_of_a_verb_are_silent(failure, code):
    process = hparse("train", failure, "--workdir=w")
    assert (process.returncode, process.stderr) == (code, "")


@pytest.mark.parametrize(("failure", "error"), [("bug", RuntimeError), ("terminated", SystemExit)])
def test_a_bug_keeps_its_traceback_and_an_exit_its_code(failure, error):
    with pytest.raises(error, match=r"a bug|143"):
        hparse("train", failure, "--workdir=w")


def test_help_lists_every_verb_and_version_the_version():
    shown, version = hparse("--help"), hparse("--version")
    for process in (shown, version):
        assert (process.returncode, process.stderr) == (0, "")
    rows = dict(line.split(maxsplit=1) for line in shown.stdout.splitlines() if line[:2] == "  ")
    assert rows == VERBS
    assert version.stdout.startswith("hparse_jax ")


@pytest.mark.parametrize("arguments", [["train", "--help"], ["help", "train"], ["-h", "train"]])
def test_help_of_a_verb_shows_its_flags_within_100_columns(arguments):
    process = hparse(*arguments)
    assert (process.returncode, process.stderr) == (0, "")
    assert max(map(len, process.stdout.splitlines())) <= 100
    text = " ".join(process.stdout.split())
    for part in (
        "A stand-in. Its second paragraph. `hparse train PHOTO...` flags:",
        "--workdir Folder of the run. Required.",
        "words end. (default: 7)",
        "--format What it is. One of one-way, two-way.",
        "--[no]skip_bad Without the bad ones. --input",
    ):
        assert part in text


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb, monkeypatch):
    monkeypatch.undo()  # the real verbs
    process = hparse(verb, "--help")
    assert (process.returncode, process.stderr) == (0, "")
    assert f"`hparse {verb}" in process.stdout
    assert "(no help available)" not in process.stdout


@pytest.mark.parametrize("verb", ["evaluate", "predict"])
def test_help_lists_the_flags_that_verbs_share(verb, monkeypatch):
    monkeypatch.undo()  # the real verbs
    rows = re.findall(r"^  (--\S+)", hparse(verb, "--help").stdout, re.MULTILINE)
    assert {"--workdir", "--step", "--scales", "--[no]flip", "--data_dir"} <= set(rows)
    assert len(rows) == len(set(rows))


def command(*arguments) -> subprocess.Popen:
    """The real command with its real verbs, in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "hparse_jax", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_module_is_the_command():
    process = command()
    _, err = process.communicate()
    assert process.returncode == 2
    assert err.startswith("hparse: which verb?")


def test_a_reader_that_goes_away_is_no_error():
    with command("build", "--help") as process:
        process.stdout.close()
        assert process.stderr.read() == ""
