"""The flags of compile_ahead.py; compiling takes libtpu and minutes."""

import pytest
from load_script import load_script

from hparse_jax.errors import InputError


@pytest.fixture
def script(monkeypatch):
    for name in ("TPU_SKIP_MDS_QUERY", "TPU_WORKER_HOSTNAMES"):
        monkeypatch.setenv(name, "0")  # what the script sets ends with the test
    return load_script("compile_ahead.py")


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
