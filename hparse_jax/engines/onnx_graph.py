"""An ONNX graph under construction: nodes, constants, and tensors whose layout is left open.

Two things are put off until an operation needs them, as most never do:

* Broadcasts, as in NumPy: a tensor may have sides of 1 where JAX has spread them.
* Transpositions: a tensor knows in which order its axes lie in the file. ONNX convolves channels
  first, JAX here channels last; between two convolutions everything stays channels first.
"""

import dataclasses
import hashlib
import math
import pathlib
from collections.abc import Sequence

import numpy as np
import onnx
from onnx import helper, numpy_helper


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A tensor that depends on the inputs.

    name: in the graph. shape: as JAX sees it, but for broadcasts put off. order: the axis i of the
    tensor in the graph is the axis order[i] of that shape.
    """

    name: str
    shape: tuple[int, ...]
    order: tuple[int, ...]


Value = Tensor | np.ndarray  # depends on the inputs, or is known

_INLINE = 1024  # bytes; smaller constants stay in the graph
_PAGE = 4096  # where a runtime can map a constant


def tensor(name: str, shape: Sequence[int]) -> Tensor:
    """A tensor that lies in the graph as JAX sees it."""
    return Tensor(name, tuple(map(int, shape)), tuple(range(len(shape))))


class Graph:
    """Nodes in the order of their computation, none twice; constants by a hash.

    Methods return tensors, or arrays where everything is known. weights: a new file for the large
    constants, which then never are in memory together; a model finds it in its own folder.
    """

    def __init__(self, weights: pathlib.Path | None = None):
        self._weights = weights
        self._nodes: list[onnx.NodeProto] = []
        self._made: dict[tuple, str] = {}
        self._constants: dict[bytes, onnx.TensorProto] = {}

    def used(self, outputs: Sequence[str]) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
        """The nodes and the constants that these outputs depend on."""
        needed, nodes = set(outputs), []
        for node in reversed(self._nodes):
            if needed.intersection(node.output):
                needed.update(node.input)
                nodes.append(node)
        return nodes[::-1], [x for x in self._constants.values() if x.name in needed]

    def emit(self, op: str, *inputs: Value, shape: Sequence[int], **attributes) -> Tensor:
        """The result of a node that reads its inputs as they lie in the graph."""
        names = [x.name if isinstance(x, Tensor) else self._constant(x) for x in inputs]
        key = (op, *names, repr(attributes))
        if key not in self._made:
            self._made[key] = f"t{len(self._nodes)}"
            self._append(op, names, self._made[key], attributes)
        return tensor(self._made[key], shape)

    def output(self, name: str, x: Value) -> None:
        """Makes x an output of the graph."""
        x = self.plain(x)
        self._append("Identity", [x.name if isinstance(x, Tensor) else self._constant(x)], name, {})

    def _append(self, op: str, inputs: list[str], output: str, attributes: dict) -> None:
        name = f"{op}{len(self._nodes)}"
        self._nodes.append(helper.make_node(op, inputs, [output], name, **attributes))

    def _constant(self, x: np.ndarray) -> str:
        x = np.asarray(x, order="C")
        digest = hashlib.sha256(f"{x.dtype} {x.shape} ".encode())
        digest.update(x.data)
        key = digest.digest()
        if key not in self._constants:
            name, outside = f"c{len(self._constants)}", self._weights and x.nbytes > _INLINE
            make = self._written if outside else numpy_helper.from_array
            self._constants[key] = make(x, name)
        return self._constants[key].name

    def _written(self, x: np.ndarray, name: str) -> onnx.TensorProto:
        """The constant as a place in the file of weights."""
        with self._weights.open("ab") as file:
            file.write(bytes(-file.tell() % _PAGE))
            place = {"location": self._weights.name, "offset": file.tell(), "length": x.nbytes}
            file.write(x.data)
        kind = helper.np_dtype_to_tensor_dtype(x.dtype)
        made = onnx.TensorProto(name=name, data_type=kind, dims=x.shape)
        made.data_location = onnx.TensorProto.EXTERNAL
        for key, value in place.items():
            made.external_data.add(key=key, value=str(value))
        return made

    # Layout

    def arranged(self, x: Value, order: Sequence[int]) -> Value:
        """x with its axes in this order in the graph. A scalar fits any."""
        order = tuple(map(int, order))
        if isinstance(x, np.ndarray):
            return x.transpose(order) if x.ndim else x
        if x.order == order:
            return x
        made = self.emit(
            "Transpose",
            x,
            shape=[x.shape[i] for i in order],
            perm=[x.order.index(i) for i in order],
        )
        return Tensor(made.name, x.shape, order)

    def plain(self, x: Value) -> Value:
        """x as JAX sees it."""
        return self.arranged(x, range(len(x.shape)))

    def transpose(self, x: Value, permutation: Sequence[int]) -> Value:
        """x with other axes for JAX: in the graph nothing happens yet."""
        permutation = list(map(int, permutation))
        if isinstance(x, np.ndarray):
            return x.transpose(permutation)
        shape = tuple(x.shape[i] for i in permutation)
        return Tensor(x.name, shape, tuple(map(permutation.index, x.order)))

    # Operations that keep the layout

    def pointwise(self, op: str, *inputs: Value, **attributes) -> Tensor:
        """An operation on each element, with NumPy's broadcasts."""
        tensors = [x for x in inputs if isinstance(x, Tensor)]
        order = max(tensors, key=lambda x: math.prod(x.shape)).order
        shape = np.broadcast_shapes(*(x.shape for x in inputs))
        arranged = [self.arranged(x, order) for x in inputs]
        made = self.emit(op, *arranged, shape=shape, **attributes)
        return Tensor(made.name, made.shape, order)

    def whole(self, x: Value, shape: Sequence[int]) -> Value:
        """x with its broadcasts carried out."""
        if x.shape == tuple(shape):
            return x
        if isinstance(x, np.ndarray):
            return np.broadcast_to(x, shape)
        return self._along("Expand", x, shape, np.array([shape[i] for i in x.order], np.int64))

    def slice(self, x: Tensor, bounds: tuple[Sequence[int], ...], shape: Sequence[int]) -> Tensor:
        """bounds: the starts, the ends and the steps along all axes."""
        bounds = [np.array([b[i] for i in x.order], np.int64) for b in bounds]
        axes = np.arange(len(shape))
        return self._along("Slice", x, shape, bounds[0], bounds[1], axes, bounds[2])

    def pad(
        self, x: Tensor, low: Sequence[int], high: Sequence[int], value: np.ndarray, shape
    ) -> Tensor:
        pads = np.array([side[i] for side in (low, high) for i in x.order], np.int64)
        return self._along("Pad", x, shape, pads, value)

    def _along(self, op: str, x: Tensor, shape: Sequence[int], *settings: np.ndarray) -> Tensor:
        made = self.emit(op, x, *settings, shape=shape)
        return Tensor(made.name, made.shape, x.order)

    def concatenate(self, parts: Sequence[Value], axis: int) -> Value:
        tensors = [x for x in parts if isinstance(x, Tensor)]
        if not tensors:
            return np.concatenate(parts, axis)
        order, shape = tensors[0].order, list(parts[0].shape)
        shape[axis] = sum(x.shape[axis] for x in parts)
        arranged = [self.arranged(x, order) for x in parts]
        made = self.emit("Concat", *arranged, shape=shape, axis=order.index(axis))
        return Tensor(made.name, made.shape, order)

    # Operations that need JAX's layout

    def reshape(self, x: Value, shape: Sequence[int]) -> Value:
        if x.shape == tuple(shape):
            return x
        if isinstance(x, np.ndarray):
            return x.reshape(shape)
        return self.emit("Reshape", self.plain(x), np.array(shape, np.int64), shape=shape)

    def take(self, x: Value, indices: np.ndarray, axis: int) -> Value:
        if isinstance(x, np.ndarray):
            return np.asarray(np.take(x, indices, axis))
        shape = (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])
        indices = indices.astype(np.int64)
        return self.emit("Gather", self.plain(x), indices, shape=shape, axis=axis)

    def stack(self, parts: Sequence[Value], axis: int) -> Value:
        shape = (*parts[0].shape[:axis], 1, *parts[0].shape[axis:])
        return self.concatenate([self.reshape(x, shape) for x in parts], axis)
