"""An ONNX file in eight bits: post-training quantisation by onnxruntime.

The products with trained weights, convolutions and matrices, take int8 weights with a scale for
each output channel and uint8 maps, whose range is that on the photographs of the calibration.
Everything else stays in float32: sums, batch norm's biases, sigmoids, gates, sizes and label maps.
"""

import contextlib
import logging
import os
import pathlib
from collections.abc import Iterable, Iterator

import numpy as np
import onnx
from onnxruntime import quantization

_PRODUCTS = {"Conv": 4, "MatMul": 2}  # operations, and the rank of their weights


def quantise(
    file: str | os.PathLike,
    output: str | os.PathLike,
    canvases: Iterable[tuple[np.ndarray, np.ndarray]],
) -> None:
    """Writes the int8 version of a file of `onnx_file.write`.

    canvases: (images, sizes) that the ranges are taken from, at least one; each is run once.
    """
    model = onnx.load(file)
    ranks = {x.name: len(x.dims) for x in model.graph.initializer}
    products = [
        node.name
        for node in model.graph.node
        if node.op_type in _PRODUCTS and ranks.get(node.input[1]) == _PRODUCTS[node.op_type]
    ]
    with _without_advice():
        quantization.quantize_static(
            pathlib.Path(file),
            pathlib.Path(output),
            _Reader(iter(canvases)),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=list(_PRODUCTS),
            nodes_to_quantize=products,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )


class _Reader(quantization.CalibrationDataReader):
    def __init__(self, canvases: Iterator[tuple[np.ndarray, np.ndarray]]):
        self._canvases = canvases

    def get_next(self) -> dict[str, np.ndarray] | None:
        canvas = next(self._canvases, None)
        return None if canvas is None else dict(zip(("images", "sizes"), canvas, strict=True))


@contextlib.contextmanager
def _without_advice() -> Iterator[None]:
    """onnxruntime logs the advice to fuse batch norm first, which the file has behind it."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
