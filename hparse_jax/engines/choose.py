"""Which runtime computes the network, in which precision: what is asked for and what there is."""

import contextlib
import functools
import importlib
import importlib.util
import sys
import types
from collections.abc import Iterator

from hparse_jax.errors import InputError

ENGINES = ("jax", "onnxruntime", "openvino", "auto")
PRECISIONS = ("float32", "bfloat16", "auto")


def choose(engine: str, precision: str, dtype: str, on_cpu: bool) -> tuple[str, str]:
    """The engine and the precision without "auto".

    dtype: "float32" or "bfloat16", what JAX computes in unless precision says otherwise. on_cpu:
    whether JAX's devices are CPUs. Engine auto is OpenVINO on a CPU when it is installed, otherwise
    JAX; precision auto is in OpenVINO bfloat16 where the CPU has it. Raises InputError for a name
    that is none, an engine that is not installed and a precision that is not to be had.
    """
    for name, value, choices in (
        ("engine", engine, ENGINES),
        ("precision", precision, PRECISIONS),
    ):
        if value not in choices:
            raise InputError(f"{name}={value}: must be one of {', '.join(choices)}")
    if engine == "auto":
        there = on_cpu and all(importlib.util.find_spec(x) for x in ("onnx", "openvino"))
        engine = "openvino" if there else "jax"
    if engine == "jax":
        return engine, dtype if precision == "auto" else precision
    runtime(engine)
    has_bfloat16 = engine == "openvino" and _cpu_has_bfloat16()
    if precision == "auto":
        return engine, "bfloat16" if has_bfloat16 else "float32"
    if precision == "bfloat16" and not has_bfloat16:
        lacking = "this CPU has none" if engine == "openvino" else "onnxruntime has none on CPUs"
        raise InputError(f"precision=bfloat16: {lacking}; give float32, or engine jax")
    return engine, precision


def runtime(engine: str) -> types.ModuleType:
    """The package of an engine that reads ONNX. Raises InputError when it is not installed."""
    try:
        importlib.import_module("onnx")
        with _without_statistics():
            return importlib.import_module(engine)
    except ModuleNotFoundError as error:
        raise InputError(
            f"engine={engine}: needs the package {error.name or engine}; "
            f"pip install 'hparse_jax[{engine}]'"
        ) from error
    except ImportError as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"engine={engine}: it is installed and cannot be imported ({reason}); install it again"
        ) from error


@contextlib.contextmanager
def _without_statistics() -> Iterator[None]:
    """Importing openvino would report to its makers that it is used, unless the package for that
    cannot be imported."""
    name = "openvino_telemetry"
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None
    try:
        yield
    finally:
        del sys.modules[name]


@functools.cache
def _cpu_has_bfloat16() -> bool:
    core = runtime("openvino").Core()
    return "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
