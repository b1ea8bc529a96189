"""The commands in every config's docstring: they exist, and reach what its score presumes."""

import ast
import operator
import pathlib
import re
import runpy

import pytest

from hparse_jax.config import Config, settings, shown, validate
from hparse_jax.config_files import read_config
from hparse_jax.interop.formats import FORMATS

FILES = sorted((pathlib.Path(__file__).parents[2] / "configs").glob("*.py"))


@pytest.fixture(params=FILES, ids=lambda file: file.stem)
def case(request):
    """(config, its file's commands, one a line)."""
    text = ast.get_docstring(ast.parse(request.param.read_text())).replace("\\\n", " ")
    commands = [
        " ".join(line.split()) for line in re.findall(r"^ +(hparse .*)$", text, re.MULTILINE)
    ]
    return runpy.run_path(str(request.param))["get_config"](), commands, request.param


def overridden(command):
    return dict(re.findall(r"--config\.([\w.]+)=(\S+)", command))


def test_each_config_is_valid_and_has_the_command_that_trains_it(case):
    config, commands, file = case
    validate(config)
    training = [c for c in commands if c.startswith("hparse train ")]
    assert f"--config=configs/{file.name}" in training[0]
    for command in training:
        assert overridden(command).keys() <= settings().keys()


def test_a_config_whose_score_presumes_trained_weights_imports_and_uses_them(case):
    config, commands, file = case
    assert config.pretrained == ("\nPublished" in file.read_text())  # every published score does
    if not config.pretrained:
        return
    importing = next(c for c in commands if c.startswith("hparse import-weights "))
    training = next(c for c in commands if c.startswith("hparse train "))
    workdir = re.search(r"--workdir=(\S+)", importing)[1]
    overrides = overridden(training)
    assert overrides["init_from"] == workdir
    # the command and the config together have the input and the backbone of the weights
    source = FORMATS[re.search(r"--format=(\S+)", importing)[1]].settings(config.model.depth)
    for field in ("model.stem", "model.depth", "channels"):
        wanted = operator.attrgetter(field)
        assert overrides.get(field, shown(wanted(config))) == shown(wanted(source))
    for field in ("mean", "std"):
        mine = overrides.get(field, shown(getattr(config, field)))
        assert tuple(map(float, mine.split(","))) == getattr(source, field)


def test_by_default_no_config_presumes_anything():
    assert not Config().pretrained


def test_lip_is_evaluated_at_the_side_of_the_released_code():
    """513 pixels in the released CNIF's evaluation, both with our network and with theirs."""
    assert read_config("lip").eval_side == 513
    assert FORMATS["cnif-official"].settings(101).eval_side == 513
