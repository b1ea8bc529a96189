"""The flags of compile_ahead.py; compiling takes libtpu and minutes."""

import importlib.util
import pathlib
import sys

import pytest

from hparse_jax.errors import InputError

EXPERIMENTS = pathlib.Path(__file__).parents[2] / "experiments"


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    monkeypatch.setenv("TPU_SKIP_MDS_QUERY", "1")  # the script's own settings end with the test
    monkeypatch.setenv("TPU_WORKER_HOSTNAMES", "localhost")
    spec = importlib.util.spec_from_file_location("compile_ahead", EXPERIMENTS / "compile_ahead.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "compile_ahead", module)
    spec.loader.exec_module(module)
    return module


def test_fields_of_the_config_are_set_and_it_computes_as_an_accelerator(script):
    arguments = ["--config.crop=97,65", "--config.model.hierarchy=false", "--config.dataset=atr"]
    config = script._config("lip", arguments)
    assert (config.crop, config.model.hierarchy, config.dataset) == ((97, 65), False, "atr")
    assert config.model.dtype == "bfloat16"


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--config.model.wide=2", r"--config.model.wide=2: no such flag"),
        ("--batch=2", r"--batch=2: no such flag"),
        ("--config.crop=a,b", r"--config.crop=a,b: cannot be read"),
        ("--config.model.depth=19", r"config\.model\.depth=19: must be one of"),
    ],
)
def test_a_wrong_field_is_named(script, argument, message):
    with pytest.raises(InputError, match=message):
        script._config("lip", [argument])


@pytest.mark.parametrize("name", ["v9:2x2", "v5e", "v5e:8", "v5e:2xa"])
def test_a_name_that_is_no_slice_is_refused(script, name):
    with pytest.raises(InputError, match=f"--topology={name}: give v4, v5e, v5p, v6e and"):
        script.topology(name)


def test_operations_are_put_down_to_their_module(script):
    forward = "jit(step)/jvp(CNIF)/resnet/block3_1/conv1/conv_general_dilated"
    assert script._room(forward) == "resnet/block3_1, forward"
    assert script._room("jit(step)/transpose(jvp(CNIF))/parts_top_down/mul").endswith("backward")
