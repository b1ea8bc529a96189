"""Configs by name: what comes with the package is found in any folder."""

import ast
import pathlib
import runpy

import pytest

from hparse_jax.config_files import read_config, shipped_configs

CONFIGS = pathlib.Path(__file__).parents[1] / "configs"


def test_every_file_in_configs_is_shipped_with_the_first_line_of_its_docstring():
    shipped = {config.name: config.purpose for config in shipped_configs()}
    docstrings = {f.stem: ast.get_docstring(ast.parse(f.read_text())) for f in CONFIGS.glob("*.py")}
    assert shipped == {name: text.splitlines()[0] for name, text in docstrings.items()}
    assert all(purpose.endswith(".") for purpose in shipped.values())  # a whole sentence


def test_a_name_is_the_file_of_that_name_wherever_the_call_is_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for file in CONFIGS.glob("*.py"):
        assert read_config(file.stem) == runpy.run_path(str(file))["get_config"]()


def test_a_file_of_ones_own_goes_by_its_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lip.py").write_text(
        "from hparse_jax.config import Config\ndef get_config(): return Config(seed=7)"
    )
    assert read_config("lip.py").seed == 7
    assert read_config("lip").seed == 0


@pytest.mark.parametrize("config", shipped_configs(), ids=lambda config: config.name)
def test_every_variant_is_a_config_of_its_own(config):
    made = [read_config(f"{config.name}:{variant}") for variant in config.variants]
    expected = {"lip_baselines": 15, "pascal_person_part_baselines": 15, "street": 2}
    assert len(config.variants) == expected.get(config.name, 0)
    assert all(made.count(one) == 1 for one in made)
