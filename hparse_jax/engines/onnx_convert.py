"""A JAX function as an ONNX graph: its jaxpr, equation by equation.

What does not depend on the inputs is computed at once and becomes a constant: positions, folded
norms. Shapes are fixed. A loop of `jax.lax.map` is unrolled. Known are the primitives that the
networks of this package use.

Own code, because the last jax2onnx whose pins go with this package's (0.13.0) wrote files of whole
parsers that onnxruntime refuses.
"""

import itertools
import math
import pathlib
from collections.abc import Callable, Sequence

import jax
import numpy as np
import onnx
from jax.extend import core
from onnx import helper

from hparse_jax.engines.onnx_graph import Graph, Tensor, Value, tensor

OPSET = 18  # of 2022: what current runtimes read; reductions take their axes as an input from it on
IR_VERSION = 8

_ELEMENTWISE = {
    "abs": "Abs",
    "add": "Add",
    "and": "And",
    "div": "Div",
    "eq": "Equal",
    "exp": "Exp",
    "floor": "Floor",
    "ge": "GreaterOrEqual",
    "gt": "Greater",
    "le": "LessOrEqual",
    "log": "Log",
    "logistic": "Sigmoid",
    "lt": "Less",
    "max": "Max",
    "min": "Min",
    "mul": "Mul",
    "neg": "Neg",
    "not": "Not",
    "or": "Or",
    "sign": "Sign",
    "sqrt": "Sqrt",
    "sub": "Sub",
}
_NEUTRAL = {"add": 0, "mul": 1}
_REDUCTIONS = {"reduce_max": "ReduceMax", "reduce_min": "ReduceMin", "reduce_sum": "ReduceSum"}


def to_graph(
    function: Callable,
    inputs: dict[str, jax.ShapeDtypeStruct],
    outputs: Sequence[str],
    name: str,
    known: Sequence = (),
    weights: pathlib.Path | None = None,
) -> onnx.GraphProto:
    """The graph of a function of these inputs, in their order, that returns a dict of arrays.

    outputs: the dict's keys in the order in which the graph is to have them. known: trees of NumPy
    arrays, arguments before the inputs that become constants; unlike arrays that the function
    closes over, JAX does not copy them. weights: see `Graph`. Raises NotImplementedError for a
    primitive that has no rule here.
    """
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tuple(known))
    closed, result = jax.make_jaxpr(function, return_shape=True)(*shapes, *inputs.values())
    graph = Graph(weights)
    arguments = [
        *jax.tree.leaves(tuple(known)),
        *(tensor(name, x.shape) for name, x in inputs.items()),
    ]
    # a dict's leaves come in the order of its sorted keys
    values = dict(zip(sorted(result), _run(graph, closed, arguments), strict=True))
    for key in outputs:
        graph.output(key, graph.whole(values[key], result[key].shape))
    nodes, constants = graph.used(outputs)
    return helper.make_graph(
        nodes,
        name,
        [_description(key, x) for key, x in inputs.items()],
        [_description(key, result[key]) for key in outputs],
        constants,
    )


def to_model(graph: onnx.GraphProto, **described: str) -> onnx.ModelProto:
    """The model of a graph. described: producer_name and other fields of it."""
    opset = helper.make_opsetid("", OPSET)
    return helper.make_model(graph, ir_version=IR_VERSION, opset_imports=[opset], **described)


def _description(name: str, x: jax.ShapeDtypeStruct) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)


def _run(graph: Graph, closed: core.ClosedJaxpr, arguments: Sequence[Value]) -> list[Value]:
    jaxpr = closed.jaxpr
    values = dict(zip(jaxpr.invars, arguments, strict=True))
    values |= zip(jaxpr.constvars, map(np.asarray, closed.consts), strict=True)

    def read(x):
        return np.asarray(x.val, x.aval.dtype) if isinstance(x, core.Literal) else values[x]

    for equation in jaxpr.eqns:
        results = _results(graph, equation, [read(x) for x in equation.invars])
        values |= zip(equation.outvars, results, strict=True)
    return [read(x) for x in jaxpr.outvars]


def _results(graph: Graph, equation, arguments: list[Value]) -> Sequence[Value]:
    name, parameters = equation.primitive.name, equation.params
    if name == "scan":
        return _unrolled(graph, equation, arguments)
    inner = parameters.get("jaxpr") or parameters.get("call_jaxpr")  # jit; functions with gradients
    if inner is not None:
        return _run(graph, inner, arguments)
    if name == "broadcast_in_dim":
        sides = dict(zip(parameters["broadcast_dimensions"], arguments[0].shape, strict=True))
        shape = [sides.get(i, 1) for i in range(len(parameters["shape"]))]
        return [graph.reshape(arguments[0], shape)]
    if all(isinstance(x, np.ndarray) for x in arguments):
        results = equation.primitive.bind(*_whole(graph, equation, arguments), **parameters)
        return list(map(np.asarray, results if equation.primitive.multiple_results else [results]))
    if name in _POINTWISE:
        return [_POINTWISE[name](graph, equation, *arguments)]
    if name in _ELEMENTWISE:
        return [_elementwise(graph, name, *arguments)]
    if name not in _RULES:
        raise NotImplementedError(f"no rule for the primitive {name}")
    return [_RULES[name](graph, equation, *_whole(graph, equation, arguments))]


def _whole(graph: Graph, equation, arguments: list[Value]) -> list[Value]:
    shapes = (x.aval.shape for x in equation.invars)
    return [graph.whole(x, shape) for x, shape in zip(arguments, shapes, strict=True)]


def _unrolled(graph: Graph, equation, arguments: list[Value]) -> list[Value]:
    """`jax.lax.map`: the body for every step, its results side by side."""
    body, steps = equation.params["jaxpr"], equation.params["length"]

    def mapped(outside, inside):  # read from shapes: the parameters differ between versions of jax
        return [len(x.aval.shape) > len(y.aval.shape) for x, y in zip(outside, inside, strict=True)]

    if equation.params["reverse"] or not all(mapped(equation.outvars, body.jaxpr.outvars)):
        raise NotImplementedError("a loop whose steps depend on each other")
    each = mapped(equation.invars, body.jaxpr.invars)
    made = []
    for step in range(steps):
        now = [
            graph.take(x, np.array(step), 0) if at_step else x
            for x, at_step in zip(arguments, each, strict=True)
        ]
        results = zip(_run(graph, body, now), body.jaxpr.outvars, strict=True)
        made.append([graph.whole(x, y.aval.shape) for x, y in results])
    return [graph.stack(parts, 0) for parts in zip(*made, strict=True)]


# Rules of operations on each element, where broadcasts and transpositions may wait


def _elementwise(graph: Graph, name: str, *arguments: Value) -> Value:
    shape = np.broadcast_shapes(*(x.shape for x in arguments))
    for known, other in itertools.permutations(arguments, 2):
        if not isinstance(known, np.ndarray) or other.shape != shape:
            continue
        if name in _NEUTRAL and (known == _NEUTRAL[name]).all():
            return other
        if name == "max" and known.dtype == np.float32 and not known.any():
            return graph.pointwise("Relu", other)
    return graph.pointwise(_ELEMENTWISE[name], *arguments)


def _not_equal(graph, equation, x, y):
    return graph.pointwise("Not", graph.pointwise("Equal", x, y))


def _rsqrt(graph, equation, x):
    return graph.pointwise("Reciprocal", graph.pointwise("Sqrt", x))


def _convert(graph, equation, x):
    old, new = equation.invars[0].aval.dtype, equation.params["new_dtype"]
    if old == new:
        return x
    return graph.pointwise("Cast", x, to=helper.np_dtype_to_tensor_dtype(new))


def _select(graph, equation, which, on_false, on_true):
    return graph.pointwise("Where", which, on_true, on_false)


def _is_finite(graph, equation, x):
    strange = (graph.pointwise(op, x) for op in ("IsInf", "IsNaN"))
    return graph.pointwise("Not", graph.pointwise("Or", *strange))


_POINTWISE = {
    "convert_element_type": _convert,
    "is_finite": _is_finite,
    "ne": _not_equal,
    "rsqrt": _rsqrt,
    "select_n": _select,
    "stop_gradient": lambda graph, equation, x: x,
    "transpose": lambda graph, equation, x: graph.transpose(x, equation.params["permutation"]),
}


# Rules of whole tensors: their broadcasts are carried out


def _shape(equation) -> tuple[int, ...]:
    return equation.outvars[0].aval.shape


def _reshape(graph, equation, x):
    return graph.reshape(x, _shape(equation))


def _slice(graph, equation, x):
    p = equation.params
    steps = p["strides"] or (1,) * len(x.shape)
    return graph.slice(x, (p["start_indices"], p["limit_indices"], steps), _shape(equation))


def _reverse(graph, equation, x):
    for axis in equation.params["dimensions"]:
        x = graph.take(x, np.arange(x.shape[axis])[::-1], axis)
    return x


def _gather(graph, equation, x, indices):
    """Known indices along one axis."""
    numbers, rank = equation.params["dimension_numbers"], len(x.shape)
    axes = numbers.collapsed_slice_dims
    others = tuple(i for i in range(rank) if i not in axes)
    sizes = tuple(1 if i in axes else x.shape[i] for i in range(rank))
    if (
        isinstance(indices, Tensor)
        or len(axes) != 1
        or numbers.start_index_map != axes
        or numbers.offset_dims != others
        or numbers.operand_batching_dims
        or equation.params["slice_sizes"] != sizes
        or indices.shape[:-1] != (indices.size,)
    ):
        raise NotImplementedError("a gather other than known indices along one axis")
    return graph.take(x, indices[:, 0], axes[0])


def _pad(graph, equation, x, value):
    low, high, interior = np.array(equation.params["padding_config"]).T.tolist()
    if any(interior) or min(*low, *high) < 0:
        raise NotImplementedError("padding between elements, or below 0")
    return graph.pad(x, low, high, value, _shape(equation))


def _reduce(graph, equation, x):
    axes = np.array(equation.params["axes"], np.int64)
    op = _REDUCTIONS[equation.primitive.name]
    return graph.emit(op, graph.plain(x), axes, shape=_shape(equation), keepdims=0)


def _argmax(graph, equation, x):
    (axis,), shape = equation.params["axes"], _shape(equation)
    first = graph.emit("ArgMax", graph.plain(x), shape=shape, axis=axis, keepdims=0)
    to = helper.np_dtype_to_tensor_dtype(np.dtype(equation.params["index_dtype"]))
    return graph.pointwise("Cast", first, to=to)


def _product(graph, equation, x, y):
    """dot_general as [batch, free x, summed] @ [batch, summed, free y]."""
    (sum_x, sum_y), (batch_x, batch_y) = equation.params["dimension_numbers"]
    free_x, free_y = (
        [i for i in range(len(a.shape)) if i not in (*summed, *batch)]
        for a, summed, batch in ((x, sum_x, batch_x), (y, sum_y, batch_y))
    )

    def sides(a, axes):
        return [a.shape[i] for i in axes]

    batch, summed = sides(x, batch_x), math.prod(sides(x, sum_x))
    rows, columns = sides(x, free_x), math.prod(sides(y, free_y))
    if batch:  # without, the left factor may keep its shape
        rows = [math.prod(rows)]
    x = graph.reshape(graph.transpose(x, (*batch_x, *free_x, *sum_x)), [*batch, *rows, summed])
    y = graph.reshape(graph.transpose(y, (*batch_y, *sum_y, *free_y)), [*batch, summed, columns])
    shape = [*batch, *rows, columns]
    product = graph.emit("MatMul", graph.plain(x), graph.plain(y), shape=shape)
    return graph.reshape(product, _shape(equation))


def _convolution(graph, equation, x, kernel):
    p = equation.params
    numbers, spread = p["dimension_numbers"], p["lhs_dilation"]
    x = graph.plain(graph.transpose(x, numbers.lhs_spec))
    kernel = graph.plain(graph.transpose(kernel, numbers.rhs_spec))
    shape = [_shape(equation)[i] for i in numbers.out_spec]
    low, high = zip(*p["padding"], strict=True)
    if max(spread) == 1:
        strides, dilations = p["window_strides"], p["rhs_dilation"]
        settings = {"pads": [*low, *high], "strides": strides, "dilations": dilations}
        settings["group"] = p["feature_group_count"]
        y = graph.emit("Conv", x, kernel, shape=shape, **settings)
    else:  # a transposed convolution: its kernel is mirrored, and counted from the other end
        plain = max(*p["window_strides"], *p["rhs_dilation"], p["feature_group_count"]) == 1
        if not plain or isinstance(kernel, Tensor):
            raise NotImplementedError("a transposed convolution with anything but one known kernel")
        kernel = kernel[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)
        sides = kernel.shape[2:]
        pads = [side - 1 - pad for pad, side in zip([*low, *high], [*sides, *sides], strict=True)]
        y = graph.emit("ConvTranspose", x, kernel, shape=shape, pads=pads, strides=spread)
    return graph.transpose(y, np.argsort(numbers.out_spec).tolist())


_RULES = {
    "argmax": _argmax,
    "concatenate": lambda g, equation, *parts: g.concatenate(parts, equation.params["dimension"]),
    "conv_general_dilated": _convolution,
    "dot_general": _product,
    "gather": _gather,
    "pad": _pad,
    "reshape": _reshape,
    "rev": _reverse,
    "slice": _slice,
    "squeeze": _reshape,
    "stack": lambda g, equation, *parts: g.stack(parts, equation.params["axis"]),
    **dict.fromkeys(_REDUCTIONS, _reduce),
}
