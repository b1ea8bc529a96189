"""Networks in other runtimes: a parser says what it says in JAX."""

import concurrent.futures
import importlib.util
import tempfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_variables import random_variables

from hparse_jax.config import Config, ModelConfig
from hparse_jax.engines import onnx_network
from hparse_jax.engines.choose import _cpu_has_bfloat16
from hparse_jax.engines.onnx_network import OnnxNetwork
from hparse_jax.errors import InputError
from hparse_jax.hierarchy import get_hierarchy
from hparse_jax.inference.predictor import Predictor
from hparse_jax.models import build_model

LIP = get_hierarchy("lip")
NETWORKS = {"cnif": (18, 0.05), "deeplab_largefov": (50, 0.02)}  # depth, width
OPENVINO = importlib.util.find_spec("openvino") is not None
ENGINES = [
    "onnxruntime",
    pytest.param(
        "openvino", marks=pytest.mark.skipif(not OPENVINO, reason="pip install '.[openvino]'")
    ),
]
VIEWS = {"scales": (1.0, 0.5), "flip": True}


@pytest.fixture(scope="module")
def make_parser():
    """make_parser(network, **options): a parser of random weights, the same each time."""

    def make(name, **options):
        depth, width = NETWORKS[name]
        model = ModelConfig(name=name, depth=depth, width=width, dtype="float32")
        network = build_model(model, LIP)
        variables = random_variables(network, jnp.zeros((1, 33, 33, 3)))
        config = Config(model=model, channels="bgr")
        return Predictor(network, {"batch_stats": {}, **variables}, config, LIP, **options)

    return make


@pytest.fixture(scope="module")
def photos():
    """Two of one bucket, the second not all of it."""
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (h, w, 3), dtype=np.uint8) for h, w in ((97, 90), (61, 97))]


@pytest.fixture(scope="module")
def in_jax(make_parser, photos):
    return {name: make_parser(name, **VIEWS)(photos) for name in NETWORKS}


def all_logits(result):
    return [result._logits(level) for level in range(len(result.levels))]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", NETWORKS)
def test_results_are_those_of_jax(name, engine, make_parser, photos, in_jax):
    parser = make_parser(name, engine=engine, precision="float32", **VIEWS)
    assert (parser.settings["engine"], parser.settings["precision"]) == (engine, "float32")
    for found, expected in zip(parser(photos), in_jax[name], strict=True):
        for ours, theirs in zip(found.levels, expected.levels, strict=True):
            assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
            assert (ours == theirs).mean() > 0.999
        for ours, theirs in zip(all_logits(found), all_logits(expected), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-4 * np.abs(theirs).max())
        for ours, theirs in zip(found.gates, expected.gates, strict=True):
            assert ours.keys() == theirs.keys()
            for source, gate in theirs.items():
                assert (ours[source].shape, ours[source].dtype) == (gate.shape, gate.dtype)
                np.testing.assert_allclose(ours[source], gate, atol=1e-5)


@pytest.mark.skipif(not OPENVINO, reason="pip install '.[openvino]'")
def test_bfloat16_rounds_to_eight_bits(make_parser, photos, in_jax):
    if not _cpu_has_bfloat16():
        pytest.skip("this CPU has no bfloat16")
    parser = make_parser("cnif", engine="openvino", **VIEWS)
    assert parser.precision == "bfloat16"
    for ours, theirs in zip(
        all_logits(parser(photos[0])), all_logits(in_jax["cnif"][0]), strict=True
    ):
        assert 1e-4 < np.abs(ours - theirs).max() / np.abs(theirs).max() < 0.1


def test_a_batch_is_parsed_like_its_photos(make_parser, photos, in_jax):
    """And the networks of consistent label maps are the same, which agree between levels."""
    parser = make_parser("cnif", engine="onnxruntime", **VIEWS).consistently(True)
    for result, expected in zip(
        dict(parser.stream(enumerate(photos), batch_size=2)).values(), in_jax["cnif"], strict=True
    ):
        for ours, theirs in zip(all_logits(result), all_logits(expected), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-4 * np.abs(theirs).max())
        for level, up in enumerate(LIP.levels[:-1]):
            parents = np.array(up.parents)[result.levels[level]]
            np.testing.assert_array_equal(parents, result.levels[level + 1])


def test_jax_takes_a_precision_too(make_parser):
    parser = make_parser("deeplab_largefov", precision="bfloat16")
    assert parser.settings["precision"] == "bfloat16"
    images = np.zeros((1, 33, 33, 3), np.float32)
    assert parser.features(images)[0].dtype == jnp.bfloat16


def scaled(variables, images, inside):
    return {"twice": (images * variables["params"]["by"] * inside[..., None],), "sum": images.sum()}


@pytest.fixture
def network(monkeypatch, tmp_path):
    """network(programs): `scaled` by 2 in onnxruntime; .made: shapes for which it was compiled."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def make(programs):
        variables = {"params": {"by": np.full((3, 1000), 2, np.float32)[:, 0]}}
        made = OnnxNetwork(scaled, variables, "onnxruntime", "float32", programs)
        make_one, made.made = made._make, []
        monkeypatch.setattr(made, "_make", lambda s: (made.made.append(s), make_one(s))[1])
        return made

    return make


def called(network, *shape):
    images = np.random.default_rng(len(shape)).normal(size=(*shape, 3)).astype(np.float32)
    inside = np.arange(shape[-1]) < np.full(shape, shape[-1] - 1)
    found = network(jnp.asarray(images), jnp.asarray(inside))
    assert list(found) == ["sum", "twice"]
    assert isinstance(found["twice"][0], jax.Array)
    expected = 2 * images
    expected[..., -1, :] = 0
    np.testing.assert_array_equal(found["twice"][0], expected)
    np.testing.assert_allclose(found["sum"], images.sum(), rtol=1e-4)


def test_a_program_a_shape_the_last_ones_are_kept(network, monkeypatch, tmp_path):
    small, large = (1, 4, 5), (2, 6, 5)
    two = network(2)
    for shape in (small, large, small, large):
        called(two, *shape)
    assert [shape[:3] for shape in two.made] == [small, large]
    monkeypatch.setattr(onnx_network, "_KEPT", 0)
    one = network(1)
    for shape in (small, small, large, small):
        called(one, *shape)
    assert [shape[:3] for shape in one.made] == [small, large, small]
    assert list(tmp_path.iterdir()) == []


def test_threads_take_turns(network):
    shared = network(2)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(called, shared, 1, 4 + i % 2, 5) for i in range(12)]:
            done.result()
    assert len(shared.made) == 2


def test_an_operation_without_a_counterpart_is_named():
    network = OnnxNetwork(lambda v, x, inside: jnp.sort(x), {}, "onnxruntime", "float32")
    with pytest.raises(InputError, match=r"engine=onnxruntime: .* primitive sort.*engine jax"):
        network(jnp.zeros((1, 4, 5, 3)), jnp.ones((1, 4, 5), bool))
