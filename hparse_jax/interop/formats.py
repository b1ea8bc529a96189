"""Published weights -> our variables: for each format one table of key patterns.

A row is (pattern of the foreign key, path of our variable, transform). In a path the groups of the
pattern are numbered as in `re.sub`.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping

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


def _same(x):
    return x


def _conv(x):  # out, in, kh, kw -> kh, kw, in, out
    return x.transpose(2, 3, 1, 0)


def _dense(x):  # out, in -> in, out; a 1x1 convolution's weights, too
    return x.reshape(x.shape[0], x.shape[1]).T


def _abn(x):  # in-place activated batch norm acts with this scale
    return np.abs(x) + np.float32(1e-5)


def _norm(key: str, path: str, scale: Callable = _same) -> list[tuple[str, str, Callable]]:
    """Rows of a batch norm: weight, bias and running statistics."""
    return [
        (rf"{key}\.weight", f"params/{path}/norm/scale", scale),
        (rf"{key}\.bias", f"params/{path}/norm/bias", _same),
        (rf"{key}\.running_mean", f"batch_stats/{path}/norm/mean", _same),
        (rf"{key}\.running_var", f"batch_stats/{path}/norm/var", _same),
    ]


def _conv_norm(conv: str, norm: str, path: str, scale: Callable = _same) -> list:
    return [(rf"{conv}\.weight", f"params/{path}/kernel", _conv), *_norm(norm, path, scale)]


def _conv_bias(key: str, path: str, transform: Callable = _conv) -> list:
    return [
        (rf"{key}\.weight", f"params/{path}/kernel", transform),
        (rf"{key}\.bias", f"params/{path}/bias", _same),
    ]


def _blocks(prefix: str, scale: Callable = _same) -> list:
    """Rows of the four blocks of a ResNet as torchvision names them."""
    unit = rf"{prefix}layer(\d)\.(\d+)\."
    rows = []
    for i in (1, 2, 3):
        rows += _conv_norm(rf"{unit}conv{i}", rf"{unit}bn{i}", rf"resnet/block\1_\2/conv{i}", scale)
    rows += _conv_norm(
        rf"{unit}downsample\.0", rf"{unit}downsample\.1", r"resnet/block\1_\2/shortcut", scale
    )
    return rows


_DEEP_STEM = [
    row for i in (1, 2, 3) for row in _conv_norm(rf"conv{i}", rf"bn{i}", rf"resnet/stem{i}")
]
_ENCODING_STEM = [
    *_conv_norm(r"conv1\.0", r"conv1\.1", "resnet/stem1"),
    *_conv_norm(r"conv1\.3", r"conv1\.4", "resnet/stem2"),
    *_conv_norm(r"conv1\.6", "bn1", "resnet/stem3"),
]
_VGG_LAYERS = dict(
    zip(
        (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
        ("1_1", "1_2", "2_1", "2_2", *(f"{b}_{i}" for b in (3, 4, 5) for i in (1, 2, 3))),
        strict=True,
    )
)


def _official() -> list:
    """CNIF's released network; every norm is in-place activated."""

    def conv_norm(key, path, conv=0, norm=1):
        return _conv_norm(rf"{key}\.{conv}", rf"{key}\.{norm}", path, _abn)

    rows = _blocks(r"encoder\.", _abn)
    for i in (1, 2, 3):
        rows += _conv_norm(rf"encoder\.conv{i}", rf"encoder\.bn{i}", f"resnet/stem{i}", _abn)
    context = r"decoder\.layer5\."
    for i in range(4):
        rows += conv_norm(rf"{context}b{i}", f"context/branch{i}")
    rows += conv_norm(rf"{context}b4", "context/branch4", 1, 2)
    rows += conv_norm(rf"{context}project", "context/project1", 0, 1)
    rows += conv_norm(rf"{context}project", "context/project2", 2, 3)
    one = r"decoder\.layer_n1\."
    rows += [(rf"{one}alpha", "params/level1/skip_scale", _same)]
    for i in (0, 1, 2):
        rows += conv_norm(rf"{one}conv{i}", f"level1/conv{i}")
    rows += conv_norm(rf"{one}conv3", "level1/conv3", 0, 1)
    rows += conv_norm(rf"{one}conv3", "level1/conv4", 3, 4)
    rows += _conv_bias(rf"{one}conv4", "level1/logits")
    for level, name in ((2, "alpha"), (3, "beta")):
        key, path = rf"decoder\.layer_n{level}\.", f"level{level}"
        rows += [(rf"{key}{name}", f"params/{path}/skip_scale", _same)]
        rows += conv_norm(rf"{key}conv1", f"{path}/conv1", 0, 1)
        rows += conv_norm(rf"{key}conv1", f"{path}/conv2", 3, 4)
        rows += _conv_bias(rf"{key}conv1\.6\.fc1", f"{path}/squeeze", _dense)
        rows += _conv_bias(rf"{key}conv1\.6\.fc2", f"{path}/excite", _dense)
        rows += _conv_bias(rf"{key}conv1\.7", f"{path}/logits")
    rows += [
        (r"decoder\.layer_dsn\.0\.weight", "params/auxiliary/kernel", _conv),
        (r"decoder\.layer_dsn\.0\.bias", "params/auxiliary/bias", _same),
        *_norm(r"decoder\.layer_dsn\.1", "auxiliary", _abn),
        *_conv_bias(r"decoder\.layer_dsn\.3", "auxiliary_logits"),
    ]
    return rows


@dataclasses.dataclass(frozen=True)
class Format:
    """rows: the table. unused: patterns of keys that are left behind. settings: a depth -> the
    config of the network, or the settings of the backbone, that these weights are for."""

    rows: list[tuple[str, str, Callable]]
    unused: tuple[str, ...]
    settings: Callable[[int], Config | BackboneSettings]
    depths: tuple[int, ...]


def _resnet(stem: str, images: dict) -> Callable[[int], BackboneSettings]:
    def settings(depth):
        return BackboneSettings("resnet", ModelConfig(depth=depth, stem=stem), **images)

    return settings


_COUNTERS = r".*\.num_batches_tracked"
FORMATS = {
    "cnif-official": Format(
        _official(),
        (_COUNTERS,),
        lambda depth: Config(
            dataset="lip",
            model=ModelConfig(
                name="cnif_official",
                depth=depth,
                output_stride=8,
                multi_grid=True,
                dtype="float32",
            ),
            **_BGR,
        ),
        (101,),
    ),
    "resnet101-deepstem": Format(
        _DEEP_STEM + _blocks(""), (_COUNTERS, r"fc\..*"), _resnet("deep", _BGR), (101,)
    ),
    "pytorch-encoding": Format(
        _ENCODING_STEM + _blocks(""),
        (_COUNTERS, r"fc\..*"),
        _resnet("deep", _IMAGENET),
        (101, 50),
    ),
    "torchvision-resnet": Format(
        _conv_norm("conv1", "bn1", "resnet/stem1") + _blocks(""),
        (_COUNTERS, r"fc\..*"),
        _resnet("conv7", _IMAGENET),
        (101, 50, 34, 18),
    ),
    "torchvision-vgg16": Format(
        [
            row
            for key, name in _VGG_LAYERS.items()
            for row in _conv_bias(rf"features\.{key}", f"vgg/conv{name}")
        ],
        (r"classifier\..*",),
        lambda depth: BackboneSettings("vgg", ModelConfig(), **_IMAGENET),
        (16,),
    ),
}


def convert(
    weights: Mapping[str, np.ndarray], form: Format, shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, np.ndarray]:
    """Our variables by path, from foreign tensors by key.

    shapes: what the network wants. Raises InputError listing every key that is missing, unexpected,
    of another shape, or not finite, all at once.
    """
    made: dict[str, np.ndarray | None] = {}
    wrong: list[str] = []
    for key, x in weights.items():
        if any(re.fullmatch(pattern, key) for pattern in form.unused):
            continue
        path, transform = _destination(key, form.rows)
        if path not in shapes:
            wrong.append(f"unexpected {key}")
            continue
        made[path] = None
        try:
            with np.errstate(over="ignore"):
                value = np.ascontiguousarray(transform(np.asarray(x, np.float32)))
        except (ValueError, IndexError):
            wrong.append(f"{key} has shape {list(x.shape)}")
            continue
        if value.shape != shapes[path]:
            wrong.append(f"{key} has shape {list(x.shape)}, for {list(shapes[path])} here")
        elif not np.isfinite(value).all():
            wrong.append(f"{key} has numbers that are not finite")
        else:
            made[path] = value
    wrong += [f"missing {_source(path, form.rows)}" for path in shapes if path not in made]
    if wrong:
        raise InputError(f"{len(wrong)} keys do not fit: {'; '.join(wrong)}")
    return made


def _destination(key: str, rows: list[tuple[str, str, Callable]]) -> tuple[str, Callable]:
    """The path and transform of a foreign key; no path when no row matches."""
    for pattern, path, transform in rows:
        match = re.fullmatch(pattern, key)
        if match:
            return match.expand(path), transform
    return "", _same


def _source(path: str, rows: list[tuple[str, str, Callable]]) -> str:
    """The foreign key from which our variable comes."""
    for pattern, template, _ in rows:
        groups = re.findall(r"\(.*?\)", pattern)
        for number, group in enumerate(groups, 1):
            template = template.replace(f"\\{number}", group)
        match = re.fullmatch(template, path)
        if match:
            for group, value in zip(groups, match.groups(), strict=True):
                pattern = pattern.replace(group, value, 1)
            return pattern.replace("\\", "")
    return path
