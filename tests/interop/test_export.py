"""Exported parsers: run by other runtimes, they say what the predictor says."""

import json
import sys
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import onnxruntime
import pytest
from random_variables import random_variables

from hparse_jax.checkpoint import Run
from hparse_jax.config import Config, ModelConfig
from hparse_jax.data.buckets import Batch
from hparse_jax.errors import InputError
from hparse_jax.hierarchy import get_hierarchy, hierarchy_from_json
from hparse_jax.inference.multiscale import MultiScalePredictor
from hparse_jax.interop import export
from hparse_jax.interop.export import Agreement, canvas_size, export_parser
from hparse_jax.models import build_model
from hparse_jax.models.build import NETWORKS, levels_of

LIP = get_hierarchy("lip")
SIZE = (49, 33)
PHOTOS = np.array([[49, 33], [40, 29], [17, 8]], np.int32)
SLOW = {"attention", "cnif_official", "deeplab_v2", "segnet"}  # each takes many seconds to compile


def make_run(name):
    depth, width = (50, 1.0) if name == "cnif_official" else (18, 0.05)
    model = ModelConfig(
        name=name, depth=depth, width=width, dtype="float32", input_scales=(1.0, 0.5)
    )
    config = Config(model=model, channels="bgr", eval_side=40)
    variables = random_variables(build_model(model, LIP), jnp.zeros((1, 33, 33, 3)))
    return Run(config, LIP, 7, {"batch_stats": {}, **variables})


@pytest.fixture
def unchecked(monkeypatch):
    """Exports are written and not compared with the network, which spares compiling both."""
    found = {"random images": Agreement(0.0, 1.0)}
    monkeypatch.setattr(export, "_compare", lambda *arguments: found)


def canvases():
    return np.random.default_rng(0).integers(0, 256, (len(PHOTOS), *SIZE, 3), dtype=np.uint8)


def predicted(run):
    """Labels and logits by name, of the predictor; beyond the photos with other colours."""
    levels = levels_of(run.config.model, LIP)
    model = build_model(run.config.model, LIP)
    predictor = MultiScalePredictor(model, run.variables, run.config, levels)
    images = canvases()
    for image, (height, width) in zip(images, PHOTOS, strict=True):
        image[height:], image[:, width:] = 120, 120
    prediction = predictor(Batch(images, PHOTOS, PHOTOS, SIZE, []))
    named = {}
    for level, labels, (logits,) in zip(
        levels.levels, prediction.labels, prediction.logits, strict=True
    ):
        named |= {level.name: np.asarray(labels), f"{level.name}/logits": np.asarray(logits)}
    return named


def assert_same(found, expected):
    assert list(found) == list(expected)
    for name, x in expected.items():
        assert (found[name].shape, found[name].dtype) == (x.shape, x.dtype)
        if name.endswith("/logits"):
            np.testing.assert_allclose(found[name], x, atol=1e-5 * np.abs(x).max())
        else:
            assert (found[name] == x).mean() > 0.999
            for labels, (height, width) in zip(found[name], PHOTOS, strict=True):
                assert not labels[height:].any()
                assert not labels[:, width:].any()


def run_onnx(file, images, sizes):
    session = onnxruntime.InferenceSession(file)
    assert [x.name for x in session.get_inputs()] == ["images", "sizes"]
    names = [x.name for x in session.get_outputs()]
    found = session.run(None, {"images": images, "sizes": sizes})
    return dict(zip(names, found, strict=True))


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in NETWORKS]
)
def test_every_network_parses_alike_in_both_formats(name, tmp_path, unchecked):
    """StableHLO takes any number of photos, ONNX one unless told otherwise."""
    run = make_run(name)
    images, expected = canvases(), predicted(run)
    export_parser(run, tmp_path / "p.stablehlo", "stablehlo", SIZE)
    exported = jax.export.deserialize(bytearray((tmp_path / "p.stablehlo").read_bytes()))
    assert exported.platforms == ("cpu", "cuda", "tpu")
    found = jax.device_get(exported.call(images, PHOTOS))
    assert_same({key: found[key] for key in expected}, expected)

    export_parser(run, tmp_path / "three.onnx", "onnx", SIZE, batch=3)
    assert_same(run_onnx(tmp_path / "three.onnx", images, PHOTOS), expected)
    export_parser(run, tmp_path / "one.onnx", "onnx", SIZE)
    ones = [run_onnx(tmp_path / "one.onnx", images[i : i + 1], PHOTOS[i : i + 1]) for i in range(3)]
    assert_same({key: np.concatenate([one[key] for one in ones]) for key in expected}, expected)


def test_a_file_says_what_it_is(tmp_path, unchecked):
    run = make_run("deeplab_largefov")
    export_parser(run, tmp_path / "p.onnx", "onnx", SIZE)
    export_parser(run, tmp_path / "p.stablehlo", "stablehlo", SIZE, batch=2)
    meta = onnxruntime.InferenceSession(tmp_path / "p.onnx").get_modelmeta()
    written = json.loads(meta.custom_metadata_map["hparse_jax"])
    with zipfile.ZipFile(tmp_path / "p.stablehlo") as archive:
        assert json.loads(archive.read("metadata.json")) == {**written, "batch": 2}
    hierarchy = hierarchy_from_json(written.pop("hierarchy"))
    assert (hierarchy.levels[0].nodes, hierarchy.palette) == (LIP.levels[0].nodes, LIP.palette)
    config = run.config
    assert written == {
        "package": "hparse_jax",
        "version": written["version"],
        "license": "Apache-2.0",
        "note": f"deeplab_largefov trained on {config.dataset} (train), 7 steps",
        "network": "deeplab_largefov",
        "dataset": config.dataset,
        "split": "train",
        "step": 7,
        "size": [49, 33],
        "batch": 1,
        "precision": "float32",
        "outputs": ["parts", "parts/logits"],
        "side": 40,
        "mean": list(config.mean),
        "std": list(config.std),
        "channels": "bgr",
    }


@pytest.mark.parametrize("form", export.FORMATS)
def test_an_export_is_compared_with_the_network(form, tmp_path):
    run = make_run("deeplab_largefov")
    photos = [canvases()[0], np.zeros((90, 20, 3), np.uint8)]
    found = export_parser(run, tmp_path / "p", form, SIZE, photos=photos)
    assert list(found) == ["random images", "photographs"]
    for agreement in found.values():
        assert agreement.logits < 1e-5
        assert agreement.labels > 0.999


def test_int8_keeps_the_weights_to_half_a_step_and_most_labels(tmp_path):
    run = make_run("deeplab_largefov")
    export_parser(run, tmp_path / "float.onnx", "onnx", SIZE)
    found = export_parser(run, tmp_path / "int8.onnx", "onnx", SIZE, calibration=list(canvases()))
    assert list(found) == ["random images", "photographs, int8"]
    assert found["random images"].logits < 1e-5
    assert found["photographs, int8"].labels > 0.9
    model = onnx.load(tmp_path / "int8.onnx")
    about = {x.key: x.value for x in model.metadata_props}["hparse_jax"]
    assert json.loads(about)["precision"] == "int8"
    whole, stored = (
        {x.name: onnx.numpy_helper.to_array(x) for x in graph.initializer}
        for graph in (onnx.load(tmp_path / "float.onnx").graph, model.graph)
    )
    kernels = [name for name, x in whole.items() if x.ndim == 4 and len(x) > 1]
    assert len(kernels) >= 13  # those of VGG-16
    for name in kernels:
        steps = stored[f"{name}_scale"][:, None, None, None]
        assert stored[f"{name}_quantized"].dtype == np.int8
        error = stored[f"{name}_quantized"] * steps - whole[name]
        assert (np.abs(error) <= 0.501 * steps).all()


def test_what_is_exported_has_no_loop_over_units():
    """Whose weights are stacked with norms that folding has taken away; ONNX has none either."""
    model = ModelConfig(depth=34, width=0.02, hierarchy=False, dtype="float32", scan="on")
    variables = random_variables(build_model(model, LIP), jnp.zeros((1, 33, 33, 3)))
    run = Run(Config(model=model), LIP, 7, variables)
    parse = export.parsing_function(run, export.fold_batch_norm(variables))
    images = jax.ShapeDtypeStruct((1, 33, 33, 3), np.uint8)
    traced = jax.make_jaxpr(parse)(images, jax.ShapeDtypeStruct((1, 2), np.int32))
    # two in each of 16 units, three shortcuts, three of the stem
    assert str(traced).count("conv_general_dilated[") >= 38


def test_int8_is_for_onnx(tmp_path):
    with pytest.raises(InputError, match="int8 is for the format onnx, not for stablehlo"):
        export_parser(
            make_run("deeplab_largefov"),
            tmp_path / "p",
            "stablehlo",
            SIZE,
            calibration=list(canvases()),
        )


@pytest.mark.parametrize("wrong", [2e-4, np.nan])
def test_a_file_that_differs_is_not_left(wrong, tmp_path, monkeypatch):
    run = make_run("deeplab_largefov")

    def loaded(file):
        function = jax.jit(export.parsing_function(run, run.variables))

        def call(*canvas):
            found = {name: np.array(x) for name, x in function(*canvas).items()}
            logits = found["parts/logits"]
            logits[0, 0, 0, 0] += wrong * np.abs(logits).max()
            return found

        return call

    monkeypatch.setattr(export.stablehlo_file, "load", loaded)
    with pytest.raises(InputError, match=r"differs from .* is not kept"):
        export_parser(run, tmp_path / "p", "stablehlo", SIZE)
    assert list(tmp_path.iterdir()) == []


def test_labels_are_compared_within_the_photos():
    wanted = {"a": np.zeros((1, 4, 4), np.uint8), "a/logits": np.float32([[[[2.0, -4.0]]]])}
    made = {"a": wanted["a"].copy(), "a/logits": np.float32([[[[2.0, -4.5]]]])}
    made["a"][0, 0, 0] = made["a"][0, 3, 3] = 1
    assert export._agreement(made, wanted, np.array([[2, 3]])) == Agreement(0.125, 5 / 6)


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_missing_package_is_one_line_that_names_the_extra(package, tmp_path, monkeypatch):
    for name in [n for n in sys.modules if n.startswith("hparse_jax.interop.onnx")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(sys.modules["hparse_jax.interop"], "onnx_file", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=rf"the package {package}; pip install 'hparse_jax\[exp"):
        export_parser(make_run("deeplab_largefov"), tmp_path / "p.onnx", "onnx", SIZE)
    assert list(tmp_path.iterdir()) == []


def test_sides_of_the_canvas_are_rounded_up():
    assert canvas_size((17, 18)) == (17, 33)
    assert canvas_size((473, 480)) == (481, 481)
