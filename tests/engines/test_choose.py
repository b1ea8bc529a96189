"""What is asked for and what there is: engines, precisions, and their absence."""

import importlib.machinery
import importlib.util
import subprocess
import sys
import types

import pytest

from hparse_jax.engines import choose as module
from hparse_jax.engines.choose import choose
from hparse_jax.errors import InputError

OPENVINO = importlib.util.find_spec("openvino") is not None


@pytest.fixture
def machine(monkeypatch):
    """machine(bfloat16, installed): a CPU with or without bfloat16, and the packages there are."""

    def make(bfloat16=True, installed=("onnx", "onnxruntime", "openvino")):
        monkeypatch.setattr(module, "_cpu_has_bfloat16", lambda: bfloat16)
        for name in ("onnx", "onnxruntime", "openvino"):
            package = types.ModuleType(name) if name in installed else None
            if package:
                package.__spec__ = importlib.machinery.ModuleSpec(name, None)
            monkeypatch.setitem(sys.modules, name, package)

    return make


@pytest.mark.parametrize("on_cpu", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_jax_computes_in_what_it_always_did_unless_told_otherwise(machine, dtype, on_cpu):
    machine(installed=())
    assert choose("jax", "auto", dtype, on_cpu) == ("jax", dtype)
    assert choose("auto", "auto", dtype, on_cpu) == ("jax", dtype)
    for precision in ("float32", "bfloat16"):
        assert choose("jax", precision, dtype, on_cpu) == ("jax", precision)


@pytest.mark.parametrize(
    ("asked", "bfloat16", "on_cpu", "chosen"),
    [
        (("auto", "auto"), True, True, ("openvino", "bfloat16")),
        (("auto", "auto"), False, True, ("openvino", "float32")),
        (("auto", "float32"), True, True, ("openvino", "float32")),
        (("auto", "auto"), True, False, ("jax", "float32")),
        (("openvino", "auto"), True, False, ("openvino", "bfloat16")),
        (("openvino", "bfloat16"), True, True, ("openvino", "bfloat16")),
        (("onnxruntime", "auto"), True, True, ("onnxruntime", "float32")),
        (("onnxruntime", "float32"), True, True, ("onnxruntime", "float32")),
    ],
)
def test_the_choice(machine, asked, bfloat16, on_cpu, chosen):
    machine(bfloat16)
    assert choose(*asked, "float32", on_cpu) == chosen


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (("torch", "auto"), "engine=torch: must be one of jax, onnxruntime, openvino, auto"),
        (("jax", "int8"), "precision=int8: must be one of float32, bfloat16, auto"),
        (("onnxruntime", "bfloat16"), "precision=bfloat16: onnxruntime has none on CPUs; give fl"),
        (("openvino", "bfloat16"), "precision=bfloat16: this CPU has none; give float32, or eng"),
        (("auto", "bfloat16"), "precision=bfloat16: this CPU has none; give float32, or engine j"),
    ],
)
def test_what_is_not_to_be_had(machine, asked, message):
    machine(bfloat16=False)
    with pytest.raises(InputError, match=message):
        choose(*asked, "float32", True)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_a_missing_package_is_one_line_that_names_the_extra(monkeypatch, engine):
    for package in (engine, "onnx"):  # the second is missing beside the first
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(InputError) as raised:
            choose(engine, "auto", "float32", True)
        assert str(raised.value) == (
            f"engine={engine}: needs the package {package}; pip install 'hparse_jax[{engine}]'"
        )
    assert choose("auto", "auto", "float32", True)[0] in ("jax", "openvino")
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert choose("auto", "auto", "float32", True)[0] == "jax"


@pytest.mark.skipif(not OPENVINO, reason="pip install '.[openvino]'")
def test_openvino_reports_to_nobody_that_it_is_used():
    script = """
import sys
from hparse_jax.engines.choose import runtime

runtime("openvino")
print("openvino" in sys.modules, "openvino_telemetry" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert done.stdout.split() == [b"True", b"False"]
