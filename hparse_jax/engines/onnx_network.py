"""The network of a parser in onnxruntime or OpenVINO, on the CPU: the same arrays in and out.

A program is made for every shape of images: the network with batch norm folded, as ONNX in a
temporary folder that the runtime reads. Photographs, views, averages and label maps are not its
matter.
"""

import collections
import contextlib
import ctypes
import functools
import pathlib
import tempfile
import threading
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PyTree

from hparse_jax.engines.choose import runtime
from hparse_jax.engines.onnx_convert import to_graph, to_model
from hparse_jax.errors import InputError
from hparse_jax.models.fold import fold_batch_norm
from hparse_jax.processors import usable_cores

_KEPT = 4 * 2**30  # bytes of weights in the programs that are kept

Program = Callable[[np.ndarray, np.ndarray], list[np.ndarray]]


class OnnxNetwork:
    """(images, inside) -> what `function(variables, images, inside)` returns, in another runtime.

    function: traceable, of float32 arrays; returns any tree of arrays. engine, precision: as
    `choose` returns them. programs: at least so many are kept, those used last; more when all of
    their weights take less than 4 GiB. May be called from several threads, which take turns.
    """

    def __init__(
        self,
        function: Callable,
        variables: dict,
        engine: str,
        precision: str,
        programs: int = 1,
    ):
        self._function, self._variables = function, variables
        self._compile = functools.partial(_COMPILERS[engine], precision=precision)
        self._engine = engine
        size = sum(x.nbytes for x in jax.tree.leaves(variables))
        self._limit = max(programs, _KEPT // max(size, 1))
        self._programs: collections.OrderedDict[tuple, tuple] = collections.OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, images: Float[Array, "b H W 3"], inside: Bool[Array, "b H W"]) -> PyTree:
        images, inside = np.asarray(images), np.asarray(inside)
        with self._lock:
            program, structure = self._program(images.shape)
            leaves = program(images, inside)
        return jax.tree.unflatten(structure, map(jnp.asarray, leaves))

    def _program(self, shape: tuple[int, ...]) -> tuple[Program, jax.tree_util.PyTreeDef]:
        if shape not in self._programs:
            while len(self._programs) >= self._limit:
                self._programs.popitem(last=False)
            self._programs[shape] = self._make(shape)
        self._programs.move_to_end(shape)
        return self._programs[shape]

    def _make(self, shape: tuple[int, ...]) -> tuple[Program, jax.tree_util.PyTreeDef]:
        variables = fold_batch_norm(jax.device_get(self._variables))
        inputs = {
            "images": jax.ShapeDtypeStruct(shape, np.float32),
            "inside": jax.ShapeDtypeStruct(shape[:3], np.bool_),
        }
        shapes = jax.eval_shape(self._function, variables, *inputs.values())
        leaves, structure = jax.tree.flatten(shapes)
        names = [f"output{i}" for i in range(len(leaves))]

        def named(*arguments):
            return dict(zip(names, jax.tree.leaves(self._function(*arguments)), strict=True))

        with tempfile.TemporaryDirectory() as folder:
            file, weights = pathlib.Path(folder) / "network.onnx", pathlib.Path(folder) / "weights"
            try:
                graph = to_graph(named, inputs, names, "network", (variables,), weights)
            except NotImplementedError as error:
                raise InputError(
                    f"engine={self._engine}: the network has an operation that ONNX lacks "
                    f"({error}); take engine jax"
                ) from error
            file.write_bytes(to_model(graph).SerializeToString())
            del variables, graph
            _release_memory()
            return self._compile(file), structure


def _in_onnxruntime(file: pathlib.Path, precision: str) -> Program:
    onnxruntime = runtime("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = usable_cores()
    # between two photographs the cores belong to the rest of the work
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return lambda images, inside: session.run(None, {"images": images, "inside": inside})


def _in_openvino(file: pathlib.Path, precision: str) -> Program:
    # for one batch at a time it takes all cores that the process may use
    settings = {
        "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision],
        "PERFORMANCE_HINT": "LATENCY",
    }
    program = runtime("openvino").Core().compile_model(file, "CPU", settings)
    return lambda images, inside: list(program([images, inside]).values())


_COMPILERS = {"onnxruntime": _in_onnxruntime, "openvino": _in_openvino}


def _release_memory() -> None:
    """Freed memory goes back to the system, where the C library is glibc: after the conversion of
    a ResNet-101 it holds 335 MiB, which the runtime would not use."""
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
