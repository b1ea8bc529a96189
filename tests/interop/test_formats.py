"""Published weights after import: the numbers of the network that they were made for come out."""

import dataclasses
import json
import pathlib
import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch_writer as w
from flax import linen as nn

import hparse_jax
from hparse_jax.checkpoint import load_backbone
from hparse_jax.config import Config, ModelConfig
from hparse_jax.data.buckets import Batch
from hparse_jax.errors import InputError
from hparse_jax.hierarchy import Hierarchy, Level, get_hierarchy
from hparse_jax.inference.multiscale import MultiScalePredictor
from hparse_jax.interop.formats import FORMATS, convert, has_classifier
from hparse_jax.interop.import_weights import import_weights
from hparse_jax.models import ParserOutput, build_model
from hparse_jax.models.build import build_backbone, initial_variables
from hparse_jax.models.ops import max_pool, normalise
from hparse_jax.models.output import LevelOutput
from hparse_jax.sharding import data_mesh
from hparse_jax.training.step import create_state
from hparse_jax.training.transfer import start_from

GOLDEN = pathlib.Path(__file__).parents[3] / "shared" / "golden" / "cnif_official"
# BGR 0-255 minus a mean, of Caffe's files and their descendants; ImageNet's mean and std
BGR = {"mean": (122.67891434, 116.66876762, 104.00698793), "std": (1.0,) * 3, "channels": "bgr"}
RGB = {
    "mean": (255 * 0.485, 255 * 0.456, 255 * 0.406),
    "std": (255 * 0.229, 255 * 0.224, 255 * 0.225),
    "channels": "rgb",
}
EVEN, ODD = (64, 48), (65, 49)


def images_of(size):
    return np.random.default_rng(0).normal(size=(1, *size, 3)).astype(np.float32)


def assert_close(outputs, expected):
    """Within 1e-4 of the largest number of each."""
    assert [x.shape for x in outputs] == [x.shape for x in expected]
    for number, (x, y) in enumerate(zip(outputs, expected, strict=True)):
        assert np.abs(np.asarray(x) - y).max() <= 1e-4 * np.abs(y).max(), f"output {number}"


# ---- every backbone against PyTorch


@pytest.fixture
def networks():
    pytest.importorskip("torch", reason="an independent computation of the backbones needs PyTorch")
    import torch_networks

    return torch_networks


SMALL = [
    ("torchvision-resnet", 18),
    ("pytorch-encoding", 50),
    ("resnet101-deepstem", 101),
    ("torchvision-vgg16", 16),
]


@pytest.mark.parametrize(("name", "depth"), SMALL)
def test_a_thin_backbone_is_pytorchs(networks, name, depth):
    """Every layer is there, with an eighth of its channels."""
    network = networks.randomise(networks.build(name, depth, width=8))
    weights = {key: x.numpy() for key, x in network.state_dict().items()}
    form = FORMATS[name]
    settings = form.settings(depth)
    model = build_backbone(settings.name, dataclasses.replace(settings.model, width=0.125))
    variables = variables_of(weights, form, model)
    images = images_of((33, 34))
    outputs = jax.jit(lambda x: model.apply(variables, x))(images)
    assert_close(outputs, networks.outputs_of(network, images))


def vgg16(width):
    """A state dict of torchvision's VGG-16 with width / 64 of its channels, random numbers."""
    rng = np.random.default_rng(0)
    layers, inputs = {}, 3
    channels = [1, 1, 2, 2, 4, 4, 4, *[8] * 6]
    numbers = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
    for number, times in zip(numbers, channels, strict=True):
        layers[f"features.{number}"] = (times * width, inputs, 3, 3)
        inputs = times * width
    hidden = 64 * width
    layers["classifier.0"] = (hidden, inputs * 49)
    layers["classifier.3"], layers["classifier.6"] = (hidden, hidden), (10, hidden)
    weights = {f"{key}.weight": rng.normal(0, 0.1, shape) for key, shape in layers.items()}
    biases = {f"{key}.bias": rng.normal(0, 0.1, shape[0]) for key, shape in layers.items()}
    return {key: x.astype(np.float32) for key, x in (weights | biases).items()}


def test_fc6_and_fc7_are_torchs_linear_layers():
    """On the 7x7 pixels of pool5, which torch flattens channel by channel, row by row."""
    weights, form = vgg16(8), FORMATS["torchvision-vgg16"]
    config = dataclasses.replace(form.settings(16).model, width=0.125)
    params = variables_of(weights, form, build_backbone("vgg", config, True))["params"]["vgg"]
    pooled = np.random.default_rng(1).normal(size=(1, 7, 7, 64)).astype(np.float32)
    ours, expected = jnp.asarray(pooled), pooled.transpose(0, 3, 1, 2).reshape(1, -1)
    for layer, key in (("fc6", "classifier.0"), ("fc7", "classifier.3")):
        ours = jax.lax.conv_general_dilated(
            ours,
            params[layer]["kernel"],
            (1, 1),
            "VALID",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        ours = ours + params[layer]["bias"]
        expected = expected @ weights[f"{key}.weight"].T + weights[f"{key}.bias"]
    assert_close([ours[:, 0, 0]], [expected])


def test_a_backbone_without_classifier_leaves_it_behind():
    weights, form = vgg16(8), FORMATS["torchvision-vgg16"]
    config = dataclasses.replace(form.settings(16).model, width=0.125)
    params = variables_of(weights, form, build_backbone("vgg", config))["params"]["vgg"]
    assert len(params) == 13
    np.testing.assert_array_equal(params["conv5_3"]["bias"], weights["features.28.bias"])


@pytest.mark.parametrize(
    ("fc6", "fc7", "taken"),
    [
        ((4096, 25088), (4096, 4096), True),
        ((4096, 25088), (10, 4096), False),
        ((10, 512), None, False),
        (None, None, False),
    ],
)
def test_a_vggs_classifier_counts_if_it_is_the_published_one(fc6, fc7, taken):
    shapes = {"classifier.0.weight": fc6, "classifier.3.weight": fc7}
    weights = {k: np.broadcast_to(np.float32(0), s) for k, s in shapes.items() if s}
    assert has_classifier(weights, FORMATS["torchvision-vgg16"]) is taken
    assert not has_classifier(weights, FORMATS["torchvision-resnet"])


def variables_of(weights, form, model):
    wanted = jax.eval_shape(lambda: initial_variables(model, 0))
    leaves, structure = jax.tree_util.tree_flatten_with_path(wanted)
    shapes = {"/".join(key.key for key in path): x.shape for path, x in leaves}
    made = convert(weights, form, shapes)
    return jax.tree_util.tree_unflatten(structure, [made[path] for path in shapes])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "depth"),
    [
        *(("torchvision-resnet", depth) for depth in (18, 34, 50, 101)),
        *(("pytorch-encoding", depth) for depth in (50, 101)),
        ("resnet101-deepstem", 101),
        ("torchvision-vgg16", 16),
    ],
)
def test_an_imported_file_is_the_backbone_it_was(tmp_path, networks, name, depth):
    import torch

    network = networks.randomise(networks.build(name, depth))
    torch.save(network.state_dict(), tmp_path / "w.pth")
    import_weights(str(tmp_path / "w.pth"), name, str(tmp_path / "run"), depth)
    parser = hparse_jax.load_parser(tmp_path / "run")
    for size in (EVEN, ODD):
        images = images_of(size)
        assert_close(parser.features(images), networks.outputs_of(network, images))
    if name == "torchvision-vgg16":
        return
    settings, variables = load_backbone(tmp_path / "run")
    config = dataclasses.replace(settings.model, output_stride=8)
    model = build_backbone(settings.name, config)
    dense = networks.build(name, depth, output_stride=8).eval()
    dense.load_state_dict(network.state_dict())
    for size in (EVEN, ODD):
        images = images_of(size)
        outputs = jax.jit(lambda x: model.apply(variables, x))(images)
        assert_close(outputs, networks.outputs_of(dense, images))


@pytest.mark.parametrize("size", [(8, 9), (7, 6), (2, 1), (1, 2), (5, 12)])
def test_ceil_mode_pools_the_last_row_and_column_too(size):
    """By hand: with an even side, torch's ceil_mode adds a window that begins inside."""
    x = np.random.default_rng(0).normal(size=(2, *size, 3)).astype(np.float32)
    expected = np.full((2, size[0] // 2 + 1, size[1] // 2 + 1, 3), -np.inf, np.float32)
    for i, j in np.ndindex(expected.shape[1:3]):
        window = x[:, max(0, 2 * i - 1) : 2 * i + 2, max(0, 2 * j - 1) : 2 * j + 2]
        expected[:, i, j] = window.max((1, 2))
    np.testing.assert_array_equal(max_pool(jnp.asarray(x), ceil=True), expected)


@pytest.mark.parametrize("size", [(8, 9), (7, 6), (2, 1), (1, 2), (5, 12)])
@pytest.mark.parametrize("ceil", [True, False])
def test_max_pool_is_pytorchs(size, ceil):
    torch = pytest.importorskip("torch", reason="an independent pooling needs PyTorch")
    x = np.random.default_rng(0).normal(size=(2, *size, 3)).astype(np.float32)
    pooled = torch.nn.functional.max_pool2d(
        torch.from_numpy(x).movedim(3, 1), 3, 2, 1, ceil_mode=ceil
    )
    np.testing.assert_array_equal(max_pool(jnp.asarray(x), ceil=ceil), pooled.movedim(1, 3))


# ---- the released network against its golden outputs


def golden_weight(key, shape):
    """The rule of the golden folder's README."""
    r = np.random.default_rng(zlib.crc32(key.encode()))
    if key.endswith("running_mean"):
        x = r.normal(0, 0.1, shape)
    elif key.endswith("running_var"):
        x = r.uniform(0.5, 1.5, shape)
    elif len(shape) == 4:
        x = r.normal(0, np.sqrt(1.5 / (shape[1] * shape[2] * shape[3])), shape)
    elif key.endswith("bias"):
        x = r.normal(0, 0.1, shape)
    else:
        sign = np.where(r.random(shape) < 0.1, -1, 1)
        x = sign * r.uniform(*((0.1, 0.3) if key.endswith("bn3.weight") else (0.5, 1.5)), shape)
    return x.astype(np.float32)


@pytest.mark.slow
@pytest.mark.skipif(not GOLDEN.is_dir(), reason="the released network's golden outputs are absent")
def test_the_released_network_gives_its_golden_outputs(tmp_path):
    shapes = json.loads((GOLDEN / "keys.json").read_text())
    w.write(tmp_path / "w.pth", {k: golden_weight(k, s) for k, s in shapes.items()}, "zip")
    import_weights(str(tmp_path / "w.pth"), "cnif-official", str(tmp_path / "run"))
    parser = hparse_jax.load_parser(tmp_path / "run")
    golden = np.load(GOLDEN / "golden.npz")
    logits = parser.logits(golden["input_a"].transpose(0, 2, 3, 1))
    names = ("level1", "level2", "level3", "aux")
    assert set(logits) == set(names)
    expected = [golden[f"{name}_a"].transpose(0, 2, 3, 1) for name in names]
    assert_close([logits[name] for name in names], expected)

    # a photograph: the network gets BGR minus the mean without being told
    photo = np.random.default_rng(0).integers(0, 256, (129, 97, 3), np.uint8)
    shown = photo[None, :, :, ::-1].astype(np.float32) - np.float32(BGR["mean"][::-1])
    result = parser(photo)
    for level, name in enumerate(names[:3]):
        maps = np.asarray(parser.logits(shown)[name])[0]
        probabilities = result.probabilities(level)[:: 128 // (maps.shape[0] - 1)]
        probabilities = probabilities[:, :: 96 // (maps.shape[1] - 1)]
        softmax = np.exp(maps - maps.max(-1, keepdims=True))
        softmax /= softmax.sum(-1, keepdims=True)
        np.testing.assert_allclose(probabilities, softmax, atol=2e-4)


# ---- preprocessing


@pytest.mark.parametrize(
    ("name", "colours"),
    [
        ("cnif-official", BGR),
        ("resnet101-deepstem", BGR),
        ("pytorch-encoding", RGB),
        ("torchvision-resnet", RGB),
        ("torchvision-vgg16", RGB),
    ],
)
def test_every_format_knows_its_colours(name, colours):
    config = FORMATS[name].settings(FORMATS[name].depths[0])
    np.testing.assert_allclose(config.mean, colours["mean"], rtol=1e-6)
    np.testing.assert_allclose(config.std, colours["std"], rtol=1e-6)
    assert config.channels == colours["channels"]


def test_normalising_by_hand():
    pixel = jnp.array([[[[10, 20, 30]]]], jnp.uint8)
    mean, std = (1.0, 2.0, 3.0), (9.0, 6.0, 3.0)
    np.testing.assert_allclose(normalise(pixel, mean, std)[0, 0, 0], [1, 3, 9], rtol=1e-6)
    np.testing.assert_allclose(normalise(pixel, mean, std, "bgr")[0, 0, 0], [9, 3, 1], rtol=1e-6)


class Mirror(nn.Module):
    """Logits = what is shown, at every 8th pixel."""

    @nn.compact
    def __call__(self, images, train=False, inside=None):
        x = images[:, ::8, ::8]
        return ParserOutput((LevelOutput(x, None, None, x, {}),), None)


@pytest.mark.parametrize("channels", ["rgb", "bgr"])
def test_predict_and_evaluate_show_the_channels_in_the_configs_order(channels):
    """Both go through the multi-scale predictor."""
    level = Level("parts", ("background", "left", "right"), ())
    hierarchy = Hierarchy("three", (level,), ((1, 2),), ((0, 0, 0), (9, 0, 0), (0, 0, 9)))
    config = Config(mean=(10.0, 20.0, 30.0), std=(1.0, 2.0, 4.0), channels=channels)
    predictor = MultiScalePredictor(Mirror(), {"params": {}}, config, hierarchy)
    photo, size = np.full((1, 17, 17, 3), (110, 120, 130), np.uint8), np.int32([[17, 17]])
    prediction = predictor(Batch(photo, size, size, (17, 17), ["photo"]))
    expected = [100, 50, 25] if channels == "rgb" else [25, 50, 100]
    np.testing.assert_allclose(prediction.logits[0][0], np.broadcast_to(expected, (1, 3, 3, 3)))


# ---- what does not fit


def resnet18():
    """A state dict of torchvision's ResNet-18: names and shapes by hand, small random numbers."""
    shapes = {"conv1.weight": (64, 3, 7, 7)}

    def norm(key, c):
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{key}.{part}"] = (c,)
        shapes[f"{key}.num_batches_tracked"] = ()

    norm("bn1", 64)
    inputs = 64
    for block, c in enumerate((64, 128, 256, 512), 1):
        for unit in range(2):
            key = f"layer{block}.{unit}"
            for i in (1, 2):
                shapes[f"{key}.conv{i}.weight"] = (c, inputs if i == 1 else c, 3, 3)
                norm(f"{key}.bn{i}", c)
            if inputs != c:
                shapes[f"{key}.downsample.0.weight"] = (c, inputs, 1, 1)
                norm(f"{key}.downsample.1", c)
            inputs = c
    shapes |= {"fc.weight": (1000, 512), "fc.bias": (1000,)}
    rng = np.random.default_rng(0)
    return {key: rng.random(shape, np.float32) for key, shape in shapes.items()}


@pytest.fixture(scope="module")
def good():
    return resnet18()


@pytest.fixture
def imported(tmp_path, good):
    """imported(changes, ...) writes a file with these changes to the good one, and imports it."""

    def run(changes=None, name="torchvision-resnet", depth=18, workdir="run"):
        arrays = {k: x for k, x in (good | (changes or {})).items() if x is not None}
        w.write(tmp_path / "w.pth", arrays, "zip")
        import_weights(str(tmp_path / "w.pth"), name, str(tmp_path / workdir), depth)
        return tmp_path / workdir

    return run


def test_the_workdir_holds_the_weights_and_their_colours(imported, good):
    settings, variables = load_backbone(imported())
    assert (settings.name, settings.model.depth, settings.model.stem) == ("resnet", 18, "conv7")
    np.testing.assert_allclose(settings.mean, RGB["mean"])
    np.testing.assert_allclose(settings.std, RGB["std"])
    assert settings.channels == "rgb"
    unit = variables["params"]["resnet"]["block2_0"]["conv1"]
    kernel = good["layer2.0.conv1.weight"]
    np.testing.assert_array_equal(unit["kernel"][2, 0, 5, 7], kernel[7, 5, 2, 0])
    np.testing.assert_array_equal(unit["norm"]["scale"], good["layer2.0.bn1.weight"])
    stats = variables["batch_stats"]["resnet"]["block2_0"]["conv1"]["norm"]
    np.testing.assert_array_equal(stats["var"], good["layer2.0.bn1.running_var"])


def test_everything_that_does_not_fit_is_said_at_once(tmp_path, imported, good):
    nan = good["bn1.running_var"].copy()
    nan[3] = np.nan
    changes = {
        "layer1.0.conv1.weight": None,
        "layer4.1.bn2.running_mean": None,
        "layer5.0.conv1.weight": np.zeros((2, 2, 3, 3), np.float32),
        "head.weight": np.zeros(3, np.float32),
        "conv1.weight": np.zeros((64, 3, 3, 3), np.float32),
        "layer2.0.conv1.weight": np.zeros((128, 64), np.float32),
        "layer3.0.bn1.bias": np.zeros(7, np.float32),
        "bn1.running_var": nan,
        "bn1.bias": np.full(64, np.inf, np.float32),
        "bn1.weight": np.full(64, 1e300),
    }
    with pytest.raises(InputError) as caught:
        imported(changes)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'w.pth'}: {len(changes)} keys do not fit: ")
    for part in (
        "missing layer1.0.conv1.weight",
        "missing layer4.1.bn2.running_mean",
        "unexpected layer5.0.conv1.weight",
        "unexpected head.weight",
        "conv1.weight has shape [64, 3, 3, 3], for [7, 7, 3, 64] here",
        "layer2.0.conv1.weight has shape [128, 64]",
        "layer3.0.bn1.bias has shape [7], for [256] here",
        "bn1.running_var has numbers that are not finite",
        "bn1.bias has numbers that are not finite",
        "bn1.weight has numbers that are not finite",
    ):
        assert part in message
    assert "format torchvision-resnet, depth 18" in message
    assert "\n" not in message
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "depth", "reason"),
    [
        ("torchvision-resnet", 34, "missing layer1.2.conv1.weight"),
        ("torchvision-resnet", 50, "missing layer1.0.conv3.weight"),
        ("pytorch-encoding", 50, r"missing conv1\.0\.weight"),
        ("resnet101-deepstem", None, r"missing conv3\.weight"),
        ("torchvision-vgg16", None, r"unexpected conv1\.weight.*missing features\.0\.bias"),
        ("cnif-official", None, r"unexpected conv1\.weight.*missing decoder\.layer_n3\.beta"),
        ("torchvision-resnet", 19, "depth=19.*101, 50, 34, 18"),
        ("pytorch-encoding", 18, "depth=18.*101, 50"),
    ],
)
def test_another_format_or_depth_is_refused(tmp_path, imported, name, depth, reason):
    with pytest.raises(InputError, match=reason):
        imported(name=name, depth=depth)
    assert not (tmp_path / "run").exists()


def test_a_workdir_with_checkpoints_is_refused_and_left(imported):
    workdir = imported()
    before = {p: p.stat().st_mtime_ns for p in workdir.rglob("*")}
    with pytest.raises(InputError, match="has checkpoints already"):
        imported()
    assert {p: p.stat().st_mtime_ns for p in workdir.rglob("*")} == before


# ---- training from imported weights


def test_training_starts_from_an_imported_backbone(imported):
    workdir = imported()
    parts = get_hierarchy("pascal_person_part").leaves_only()
    model = ModelConfig(depth=18, stem="conv7", dtype="float32", hierarchy=False)
    config = Config(dataset="pascal_person_part", model=model, init_from=str(workdir))
    state = create_state(build_model(model, parts), config, data_mesh(jax.devices()[:1]), 10)
    state, new_ones = start_from(state, config, parts)
    old = load_backbone(workdir)[1]
    for kind in ("params", "batch_stats"):
        taken = state.variables[kind]["resnet"]
        jax.tree.map(np.testing.assert_array_equal, taken, old[kind]["resnet"])
    others = {
        "/".join(str(key.key) for key in path)
        for path, _ in jax.tree_util.tree_flatten_with_path(state.variables)[0]
        if path[1].key != "resnet"
    }
    assert others
    assert set(new_ones) == others
