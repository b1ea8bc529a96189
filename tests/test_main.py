"""The command line's exit codes and messages, seen from outside in real processes.

The verbs are stood in for by one tiny module, so that nothing here trains or reads pictures.
"""

import ast
import os
import pathlib
import subprocess
import sys

import pytest

from hparse_jax.__main__ import VERBS

# A verb that needs a config and a workdir, and fails as its first positional argument says.
VERB = '''"""A stand-in.

Its second paragraph.
"""
from absl import flags
from hparse_jax import config
from hparse_jax.errors import InputError, UsageError
from ml_collections import config_flags

def define_flags():
    config_flags.DEFINE_config_file("config", None, "file with get_config()")
    flags.DEFINE_string("workdir", None, "folder of the run")
    flags.DEFINE_integer("step", 0, "which checkpoint")
    flags.mark_flags_as_required(["config", "workdir"])

def main(arguments):
    "`hparse train PHOTO...`"
    settings = flags.FLAGS.config
    config.validate(settings)
    match arguments:
        case ["input"]:
            raise InputError("photo.jpg: is\\nbroken; take another")
        case ["surplus"]:
            raise UsageError("no arguments but flags, not surplus")
        case ["denied"]:
            raise PermissionError(13, "Permission denied", "/out")
        case ["interrupt"]:
            raise KeyboardInterrupt
        case ["terminated"]:
            raise SystemExit(143)
        case ["bug"]:
            raise RuntimeError("a bug")
        case ["some failed"]:
            return 1
    print([arguments, flags.FLAGS.workdir, settings.crop, settings.model.depth, settings.flip])
'''
COMMAND = """
import sys
from hparse_jax import __main__
__main__.VERBS["train"] = ("stand_in", "")
sys.exit(__main__.main())
"""
GOOD = "from hparse_jax.config import Config\ndef get_config(depth='101'):\n    config = Config()\n"
GOOD += "    config.model.depth = int(depth)\n    return config\n"


@pytest.fixture
def hparse(tmp_path):
    """Runs `hparse ARGUMENTS` in a folder that holds good.py; returns the finished process."""
    (tmp_path / "stand_in.py").write_text(VERB)
    (tmp_path / "good.py").write_text(GOOD)

    def run(*arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-c", COMMAND, *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def told(process: subprocess.CompletedProcess, code: int) -> str:
    """The first line on stderr, after checking the exit code and that no traceback is there."""
    assert process.returncode == code, process.stderr
    assert "Traceback" not in process.stderr
    lines = process.stderr.splitlines()
    if code == 1:
        assert len(lines) == 1
    return lines[0]


def test_flags_overrides_and_positional_arguments_reach_the_verb(hparse):
    done = hparse(
        *("train", "a.jpg", "--config=good.py:50", "--workdir=w", "--config.crop=257,129"),
        *("--noconfig.flip", "b.jpg"),
    )
    assert told_nothing(done) == [["a.jpg", "b.jpg"], "w", (257, 129), 50, False]


def told_nothing(process: subprocess.CompletedProcess) -> list:
    assert (process.returncode, process.stderr) == (0, "")
    return ast.literal_eval(process.stdout)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "which verb?"),
        (["trian"], "did you mean train?"),
        (["train", "--config=good.py"], "missing --workdir"),
        (["train", "--workdir=w"], "missing --config"),
        (["train", "--workdir=w", "--config=good.py", "--wrkdir=w"], "wrkdir"),
        (["train", "--workdir=w", "--config=good.py", "--step=last"], "--step=last"),
        (["train", "--workdir=w", "--config.seed=1", "--config=good.py"], "before --config.seed"),
        (["train", "surplus", "--workdir=w", "--config=good.py"], "not surplus"),
    ],
)
def test_wrong_usage_exits_2_and_shows_the_usage(hparse, arguments, message):
    process = hparse(*arguments)
    assert message in told(process, 2)
    assert "usage: hparse" in process.stderr


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("batchsize=3", "config.batchsize: no such field; close are batch_size, eval_batch_size"),
        ("model.dept=18", "config.model.dept: no such field; close are model.depth"),
        ("lr=0.1", "config.lr: no such field; close are optimizer.base_lr"),
        ("batch_size=many", "config.batch_size=many: must be a whole number"),
        ("optimizer.base_lr=fast", "config.optimizer.base_lr=fast: must be a number"),
        ("flip=sometimes", "config.flip=sometimes: must be true or false"),
        ("crop=257", "config.crop=(257,): must be 2 numbers"),
    ],
)
def test_a_wrong_config_field_is_one_line_naming_it(hparse, override, message):
    process = hparse("train", "--workdir=w", "--config=good.py", f"--config.{override}")
    assert told(process, 1) == f"hparse train: {message}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "FileNotFoundError"),
        ("def get_config(:", "SyntaxError"),
        ("import nowhere", "nowhere"),
        ("def get_config():\n    return {'a': 1}['b']", "KeyError: 'b'"),
        ("def get_config():\n    return int('x')", "ValueError"),
        ("def get_config():\n    return {}", "dict"),
        ("x = 1", "get_config"),
    ],
)
@pytest.mark.parametrize("overrides", [[], ["--config.seed=3"]])
def test_a_wrong_config_file_is_one_line_naming_it(hparse, tmp_path, text, message, overrides):
    if text is not None:
        (tmp_path / "bad.py").write_text(text)
    line = told(hparse("train", "--workdir=w", "--config=bad.py", *overrides), 1)
    assert line.startswith("hparse train: bad.py: ")
    assert message in line


@pytest.mark.parametrize(
    ("failure", "code", "message"),
    [
        ("input", 1, "hparse train: photo.jpg: is broken; take another"),
        ("denied", 1, "hparse train: [Errno 13] Permission denied: '/out'"),
        ("some failed", 1, ""),
        ("interrupt", 130, ""),
        ("terminated", 143, ""),
    ],
)
def test_failures_of_a_verb(hparse, failure, code, message):
    process = hparse("train", failure, "--config=good.py", "--workdir=w")
    assert (process.returncode, process.stderr.rstrip("\n")) == (code, message)


def test_a_bug_keeps_its_traceback(hparse):
    process = hparse("train", "bug", "--config=good.py", "--workdir=w")
    assert process.returncode == 1
    assert "Traceback" in process.stderr


def test_help_and_version_exit_0(hparse):
    for arguments in (["--help"], ["--version"], ["train", "--help"]):
        process = hparse(*arguments)
        assert (process.returncode, process.stderr) == (0, "")
    assert all(verb in hparse("--help").stdout for verb in VERBS)
    text = hparse("train", "--help").stdout
    assert "Its second paragraph." in text
    assert "`hparse train PHOTO...`" in text
    assert "--workdir: folder of the run" in text


def test_every_verb_has_its_module():
    package = pathlib.Path(__file__).parents[1]
    for module, _ in VERBS.values():
        assert (package / f"{module.replace('.', '/')}.py").exists()


def test_the_module_is_the_command():
    process = subprocess.run(
        [sys.executable, "-m", "hparse_jax"], capture_output=True, text=True, check=False
    )
    assert process.returncode == 2
    assert process.stderr.startswith("hparse: which verb?")
