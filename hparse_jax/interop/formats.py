"""Published weights -> our variables: for each format one table of names.

A row is (pattern of our module's path, foreign name of its convolution or dense layer, foreign name
of its batch norm or ""). In the names the groups of the pattern are numbered as in `re.sub`.
"""

import dataclasses
import json
import pathlib
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from hparse_jax.config import Config, ModelConfig
from hparse_jax.errors import InputError
from hparse_jax.workdir import BackboneSettings

_IMAGENET = {
    "mean": (123.675, 116.28, 103.53),
    "std": (58.395, 57.12, 57.375),
    "channels": "rgb",
}
# the files of CNIF and its relatives: BGR 0-255 minus a mean; written here in the order RGB
_BGR = {
    "mean": (122.67891434, 116.66876762, 104.00698793),
    "std": (1.0, 1.0, 1.0),
    "channels": "bgr",
}
# rows by the part of a network that they name
_ROWS = json.loads(pathlib.Path(__file__).with_name("names.json").read_text())
_BLOCKS = _ROWS["blocks of a ResNet, as torchvision names them"]
_DEEP_STEM = _ROWS["deep stem"]
_VGG = [
    (f"vgg/conv{layer}", f"features.{number}", "")
    for layer, number in zip(
        ("1_1", "1_2", "2_1", "2_2", *(f"{b}_{i}" for b in (3, 4, 5) for i in (1, 2, 3))),
        (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
        strict=True,
    )
]
_VGG += [("vgg/fc6", "classifier.0", ""), ("vgg/fc7", "classifier.3", "")]
_OFFICIAL = [
    *((ours, f"encoder.{layer}", f"encoder.{norm}") for ours, layer, norm in _DEEP_STEM + _BLOCKS),
    *_ROWS["decoder of cnif-official"],
]
# the end of our variable's path -> whether it is the norm's, and the end of the foreign key
_ENDS = {
    "norm/scale": (True, ".weight"),
    "norm/bias": (True, ".bias"),
    "norm/mean": (True, ".running_mean"),
    "norm/var": (True, ".running_var"),
    "kernel": (False, ".weight"),
    "bias": (False, ".bias"),
    "skip_scale": (False, ""),
}


@dataclasses.dataclass(frozen=True)
class Format:
    """rows: the table. unused: pattern of keys that may be left behind. settings: a depth -> the
    config of the network, or the settings of the backbone, that these weights are for. activated:
    every batch norm is an in-place activated one, which acts with a scale |weight| + 1e-5.
    classifier: keys and shapes of the weights of fc6 and fc7."""

    rows: Sequence[Sequence[str]]
    unused: str
    settings: Callable[[int], Config | BackboneSettings]
    depths: tuple[int, ...]
    activated: bool = False
    classifier: Mapping[str, tuple[int, int]] = dataclasses.field(default_factory=dict)


def _resnet(stem: str, images: dict) -> Callable[[int], BackboneSettings]:
    return lambda depth: BackboneSettings("resnet", ModelConfig(depth=depth, stem=stem), **images)


_COUNTERS = r".*\.num_batches_tracked"
_RESNET_UNUSED = rf"{_COUNTERS}|fc\..*"
FORMATS = {
    "cnif-official": Format(
        _OFFICIAL,
        _COUNTERS,
        lambda _: Config(
            dataset="lip",
            model=ModelConfig(
                name="cnif_official",
                output_stride=8,
                multi_grid=True,
                dtype="float32",
            ),
            eval_side=513,
            **_BGR,
        ),
        (101,),
        activated=True,
    ),
    "resnet101-deepstem": Format(
        _DEEP_STEM + _BLOCKS, _RESNET_UNUSED, _resnet("deep", _BGR), (101,)
    ),
    "pytorch-encoding": Format(
        _ROWS["encoding stem"] + _BLOCKS,
        _RESNET_UNUSED,
        _resnet("deep", _IMAGENET),
        (101, 50),
    ),
    "torchvision-resnet": Format(
        [("resnet/stem1", "conv1", "bn1"), *_BLOCKS],
        _RESNET_UNUSED,
        _resnet("conv7", _IMAGENET),
        (101, 50, 34, 18),
    ),
    "torchvision-vgg16": Format(
        _VGG,
        r"classifier\..*",
        lambda _: BackboneSettings("vgg", ModelConfig(), **_IMAGENET),
        (16,),
        classifier={
            "classifier.0.weight": (4096, 512 * 7 * 7),
            "classifier.3.weight": (4096, 4096),
        },
    ),
}


def has_classifier(weights: Mapping[str, np.ndarray], form: Format) -> bool:
    """Whether a file holds fc6 and fc7 as published; a classifier of other sizes is left behind."""
    layers = form.classifier.items()
    return bool(layers) and all(k in weights and weights[k].shape == s for k, s in layers)


def convert(
    weights: Mapping[str, np.ndarray], form: Format, shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, np.ndarray]:
    """Our variables by path, from foreign tensors by key.

    shapes: what the network wants. Raises InputError listing every key that is missing, unexpected,
    of another shape, or not finite, all at once.
    """
    paths = {_source(path, form.rows): path for path in shapes}
    used = [key for key in weights if not re.fullmatch(form.unused, key)]
    made: dict[str, np.ndarray] = {}
    wrong = [f"unexpected {key}" for key in used if key not in paths]
    for key in [key for key in weights if key in paths]:
        x, path = weights[key], paths[key]
        try:
            with np.errstate(over="ignore"):
                value = _as_ours(np.asarray(x, np.float32), path, shapes[path])
        except (ValueError, IndexError):
            wrong.append(f"{key} has shape {list(x.shape)}")
            continue
        if form.activated and path.endswith("norm/scale"):
            value = np.abs(value) + np.float32(1e-5)
        if value.shape != shapes[path]:
            wrong.append(f"{key} has shape {list(x.shape)}, for {list(shapes[path])} here")
        elif not np.isfinite(value).all():
            wrong.append(f"{key} has numbers that are not finite")
        else:
            made[path] = np.ascontiguousarray(value)
    wrong += [f"missing {key}" for key in paths if key not in weights]
    if wrong:
        raise InputError(f"{len(wrong)} keys do not fit: {'; '.join(wrong)}")
    return made


def _source(path: str, rows: Sequence[Sequence[str]]) -> str:
    """The foreign key from which our variable comes."""
    _, path = path.split("/", 1)  # without the collection
    module, end = re.fullmatch(f"(.*?)/({'|'.join(_ENDS)})", path).groups()
    of_norm, suffix = _ENDS[end]
    for pattern, layer, norm in rows:
        if match := re.fullmatch(pattern, module):
            return match.expand(norm if of_norm else layer) + suffix
    raise KeyError(path)


def _as_ours(x: np.ndarray, path: str, shape: tuple[int, ...]) -> np.ndarray:
    if not path.endswith("/kernel"):
        return x
    if len(shape) == 2:  # out, in -> in, out; a 1x1 convolution's weights, too
        return x.reshape(x.shape[0], x.shape[1]).T
    if x.ndim == 2:  # a dense layer over all pixels, which for us is a convolution
        x = x.reshape(x.shape[0], -1, *shape[:2])
    return x.transpose(2, 3, 1, 0)  # out, in, h, w -> h, w, in, out
