"""ONNX files. The packages of the extra `export`."""

import json
import pathlib
from collections.abc import Callable

import jax
import numpy as np
import onnx
import onnxruntime

from hparse_jax.engines.onnx_convert import to_graph, to_model
from hparse_jax.errors import InputError


def write(file: pathlib.Path, function: Callable, metadata: dict) -> None:
    """Writes the function (images, sizes) -> dict.

    metadata: its size and batch are those of the images, its outputs the dict's keys in their order
    in the file; it becomes the property "hparse_jax" of the model, as JSON. Raises InputError for a
    function with an operation that has no counterpart.
    """
    inputs = {
        "images": jax.ShapeDtypeStruct((metadata["batch"], *metadata["size"], 3), np.uint8),
        "sizes": jax.ShapeDtypeStruct((metadata["batch"], 2), np.int32),
    }
    try:
        graph = to_graph(function, inputs, metadata["outputs"], metadata["package"])
    except NotImplementedError as error:
        raise InputError(f"not to be had as ONNX ({error}); export to stablehlo") from error
    model = to_model(
        graph,
        producer_name=metadata["package"],
        producer_version=metadata["version"],
        doc_string=metadata["note"],
    )
    onnx.helper.set_model_props(model, {metadata["package"]: json.dumps(metadata)})
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, file)


def load(file: pathlib.Path) -> Callable[[np.ndarray, np.ndarray], dict[str, np.ndarray]]:
    """The function in a file, on the CPU."""
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda images, sizes: dict(
        zip(names, session.run(names, {"images": images, "sizes": sizes}), strict=True)
    )
