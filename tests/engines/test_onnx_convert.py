"""JAX functions as ONNX graphs: onnxruntime computes what JAX does."""

import collections

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import onnxruntime
import pytest

from hparse_jax.engines.onnx_convert import to_graph, to_model

RNG = np.random.default_rng(0)
X, Y = (np.float32(RNG.normal(0, 1, (2, 9, 7, 6))) for _ in range(2))


def kernel(*shape):
    return np.float32(np.random.default_rng(1).normal(0, 1, shape))


def convolve(x, w, strides=(1, 1), padding=((1, 1), (1, 1)), **settings):
    numbers = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(
        x, w, strides, padding, dimension_numbers=numbers, **settings
    )


def between_convolutions(x, y):
    """Everything that may happen while the axes lie in ONNX's order."""
    z = convolve(x, kernel(3, 3, 6, 4))
    z = jnp.maximum(z * y.mean((1, 2))[:, None, None, :4], 0) * (y[..., :1] > 0)
    z = jnp.concatenate([z, y, jnp.ones((*y.shape[:3], 2))], -1)
    z = jnp.pad(z, ((0, 0), (2, 1), (0, 3), (0, 0)), constant_values=-jnp.inf)[:, 1::2, 2:, ::3]
    return convolve(jnp.where(jnp.isfinite(z), z, 0.5), kernel(1, 1, 4, 5)).swapaxes(1, 2)


FUNCTIONS = {
    "strides and dilation": lambda x, y: convolve(
        x, kernel(3, 3, 6, 4), (2, 1), ((1, 0), (2, 2)), rhs_dilation=(1, 2)
    ),
    "groups": lambda x, y: convolve(x, kernel(3, 3, 3, 8), feature_group_count=2),
    "weights of each call": lambda x, y: convolve(x[:1], y[0, :3, :3, :, None] * kernel(4)),
    "transposed": lambda x, y: jax.lax.conv_transpose(
        x, kernel(4, 4, 6, 3), (2, 2), ((2, 2), (1, 3)), dimension_numbers=("NHWC", "HWIO", "NHWC")
    ),
    "between convolutions": between_convolutions,
    "products": lambda x, y: (
        jnp.einsum("bhwc,co->bhwo", x, kernel(6, 3))
        + jnp.einsum("Hh,bhwo->bHwo", kernel(9, 9), y[..., :3])
        + jnp.einsum("bhwc,bc->bh", x, y[:, 0, 0])[:, :, None, None]
        + jnp.einsum("bhwc,bHwc->bhH", x, y)[..., None, :3]
    ),
    "by strips": lambda x, y: jax.lax.map(
        lambda i: (x * i[0] + y[:, 0, None, None]).sum(2), np.stack([np.arange(4.0)] * 2, 1)
    ),
    "softmax and its like": lambda x, y: (
        jax.nn.log_softmax(x) + jax.nn.softmax(y, 1) + jax.nn.logsumexp(x, 0) + jax.nn.sigmoid(y)
    ),
    "largest": lambda x, y: x.max((1, 3)) + x.argmax(-1)[:, 0] + jnp.max(y[:, 0], -1, initial=-9),
    "indices": lambda x, y: x[:, np.array([3, 0, 3])] + y[:, 4:7, :, ::-1] + x[:, :3, :, 2:3],
    "whole numbers": lambda x, y: (
        jnp.uint8(jnp.clip(x * 9, 0, 255)).astype(jnp.int32) + (jnp.floor(y).astype(int) != 0) * 3
    ),
    "nothing but constants": lambda x, y: jnp.arange(6.0).reshape(2, 3) * kernel(2, 3),
    "an input": lambda x, y: y,
}


def convert(function, *inputs):
    shapes = {
        f"in{i}": jax.ShapeDtypeStruct(np.shape(x), np.asarray(x).dtype)
        for i, x in enumerate(inputs)
    }
    names = sorted(jax.eval_shape(function, *shapes.values()), reverse=True)
    model = to_model(to_graph(function, shapes, names, "test"))
    onnx.checker.check_model(model, full_check=True)
    return model


def operations(model):
    return collections.Counter(node.op_type for node in model.graph.node)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_onnxruntime_computes_the_same(name):
    model = convert(lambda x, y: {"out": FUNCTIONS[name](x, y)}, X, Y)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (found,) = session.run(["out"], {"in0": X, "in1": Y})
    expected = FUNCTIONS[name](jnp.asarray(X), jnp.asarray(Y))
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_outputs_have_the_names_and_the_order_that_were_asked_for():
    model = convert(lambda x, y: {"a": x, "b/c": y, "b": x + y}, X, Y)
    assert [x.name for x in model.graph.output] == ["b/c", "b", "a"]
    found = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"in0": X, "in1": Y})
    for made, expected in zip(found, (Y, X + Y, X), strict=True):
        np.testing.assert_array_equal(made, expected)


def test_between_two_convolutions_nothing_is_transposed():
    def function(x, y):
        x = jax.nn.relu(convolve(x, kernel(3, 3, 6, 6)) * 1.0 + np.arange(6.0))
        return {"out": convolve(x, kernel(3, 3, 6, 6))}

    found = operations(convert(function, X, Y))
    assert found == {"Transpose": 2, "Conv": 2, "Add": 1, "Relu": 1, "Identity": 1}


def test_what_no_output_needs_is_left_out():
    model = convert(lambda x, y: {"a": (jnp.exp(x + 2.0), y)[1]}, X, Y)
    assert operations(model) == {"Identity": 1}
    assert not model.graph.initializer


def test_what_is_computed_twice_is_written_once():
    model = convert(lambda x, y: {"a": jnp.exp(x + 2.0) * jnp.exp(x + 2.0)}, X, Y)
    assert operations(model) == {"Add": 1, "Exp": 1, "Mul": 1, "Identity": 1}
    assert len(model.graph.initializer) == 1


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x, y: jnp.sort(x), "sort"),
        (lambda x, y: x[jnp.int32(y[0, 0, 0])], "known indices"),
        (lambda x, y: jax.lax.scan(lambda s, v: (s + v, s), x[0], x)[1], "depend on each other"),
    ],
)
def test_what_has_no_counterpart_is_refused(function, message):
    with pytest.raises(NotImplementedError, match=message):
        convert(lambda x, y: {"out": function(x, y)}, X, Y)
