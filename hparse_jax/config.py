"""The settings of a run: every field with its default, meaning, unit, choices and bounds.

A config file returns one `Config`; every field can be overridden on the command line,
`--config.optimizer.base_lr=0.01`. Defaults are the paper's (CNIF section 4.1).
"""

import dataclasses
import math
import operator
import typing

from hparse_jax.errors import InputError


def setting(default, meaning: str, *, choices=(), above=None, at_least=None, at_most=None):
    """A dataclass field that carries what `validate` and `hparse train --help` say about it."""
    rules = {
        "meaning": meaning,
        "choices": choices,
        "above": above,
        "at_least": at_least,
        "at_most": at_most,
    }
    return dataclasses.field(default=default, metadata=rules)


@dataclasses.dataclass(unsafe_hash=True, slots=True)  # modules hold a copy as a static attribute
class ModelConfig:
    name: str = setting(
        "cnif",
        "CNIF's parser, or a baseline of LIP section 3, which predicts the leaves only and for "
        "which only width and dtype apply; cnif_official: the network that CNIF's authors "
        "released, for imported weights",
        choices=("cnif", "segnet", "fcn8s", "deeplab_v2", "attention", "cnif_official"),
    )
    depth: int = setting(101, "layers of the ResNet", choices=(18, 34, 50, 101))
    output_stride: int = setting(16, "input pixels per pixel of the last block", choices=(8, 16))
    stem: str = setting(
        "deep",
        "first layers; deep: three 3x3 convolutions of 64, 64 and 128 channels; conv7: one 7x7 "
        "convolution of 64",
        choices=("deep", "conv7"),
    )
    width: float = setting(1.0, "factor on every channel count", above=0)
    multi_grid: bool = setting(
        False, "block 4 has dilations 2, 4, 8 at output stride 16 and 4, 8, 16 at 8"
    )
    hierarchy: bool = setting(True, 'false: the leaves only (CNIF Table 6, "backbone")')
    bottom_up: bool = setting(True, "bottom-up inference (Eq. 14)")
    top_down: bool = setting(True, "top-down inference (Eq. 12)")
    fusion: str = setting(
        "conditional",
        "how a node's predictions are combined: with gates (Eq. 15 to 17), without gates, or by "
        "a static rule of section 3.1",
        choices=("conditional", "unconditional", "product_of_experts", "bayesian", "ensemble"),
    )
    node_heads: str = setting(
        "per_node",
        "weights of F, F_down, F_up and F_fuse: one set per node, or shared",
        choices=("per_node", "shared"),
    )
    messages: str = setting(
        "logits", "what parents and children send", choices=("logits", "probabilities")
    )
    stop_gradient: bool = setting(False, "true: no gradient flows through the messages")
    auxiliary: bool = setting(False, "a head on block 3 for the auxiliary loss")
    dtype: str = setting(
        "auto",
        "type of the computation; auto: float32 on a CPU, bfloat16 elsewhere",
        choices=("auto", "float32", "bfloat16"),
    )


@dataclasses.dataclass(slots=True)
class OptimizerConfig:
    base_lr: float = setting(0.007, "learning rate at the start of the poly schedule", above=0)
    momentum: float = setting(0.9, "momentum of SGD", at_least=0)
    weight_decay: float = setting(
        5e-4, "on convolution weights, not on batch norm and biases", at_least=0
    )
    power: float = setting(0.9, "exponent of the poly schedule", at_least=0)
    warmup_steps: int = setting(0, "steps of linear warm-up from 0 to base_lr", at_least=0)
    new_layers_multiplier: float = setting(
        1.0, "factor on the learning rate of all layers but the backbone's", above=0
    )


@dataclasses.dataclass(slots=True)
class LossConfig:
    level_weights: tuple[float, ...] = setting(
        (), "weight of each level's loss, finest first; (): 1 for every level", at_least=0
    )
    auxiliary_weight: float = setting(
        0.4, "weight of the cross-entropy of each auxiliary map", at_least=0
    )
    lovasz_weight: float = setting(
        0.0, "weight of the Lovasz-softmax loss on the fused maps", at_least=0
    )
    structure: str = setting(
        "none",
        "LIP's structure-sensitive loss (section 4): an image's cross-entropy is multiplied by "
        "its joint error (product, as in the paper) or by 1 + error",
        choices=("none", "product", "one_plus_error"),
    )
    structure_constants: str = setting(
        "released",
        "factor of the joint error: that of the released code, or the paper's 1 / (2 N)",
        choices=("released", "paper"),
    )
    structure_stride: int = setting(
        8, "pixels between the grid points on which joints are computed", above=0
    )


@dataclasses.dataclass(slots=True)
class Config:
    seed: int = setting(0, "of the initial weights, the data order and augmentation", at_least=0)
    dataset: str = setting("lip", "name of the built dataset")
    hierarchy: str = setting(
        "", "a shipped hierarchy's name, or a JSON or Python file; empty: the dataset's own"
    )
    init_from: str = setting(
        "", "workdir of another run or of imported weights from which training starts"
    )
    data_dir: str = setting("data", "folder where `hparse build` wrote the dataset")
    batch_size: int = setting(40, "images per step, over all devices of all processes", above=0)
    accumulate: int = setting(
        1, "parts of a batch that each device computes one after the other", above=0
    )
    steps: int = setting(0, "steps of the run; 0: as many as epochs gives", at_least=0)
    epochs: int = setting(150, "passes over the training split, when steps is 0", at_least=0)
    crop: tuple[int, int] = setting((473, 473), "height, width of training crops, pixels", above=0)
    scale: tuple[float, float] = setting(
        (0.5, 2.0), "smallest, largest random scale of training photos, uniform", above=0
    )
    flip: bool = setting(True, "flip training photos horizontally at random, one in two")
    mean: tuple[float, float, float] = setting(
        (123.675, 116.28, 103.53), "subtracted from the photos, RGB 0 to 255; also the padding"
    )
    std: tuple[float, float, float] = setting(
        (58.395, 57.12, 57.375), "the photos are divided by it, RGB 0 to 255", above=0
    )
    channels: str = setting(
        "rgb", "order of the channels at the network's input", choices=("rgb", "bgr")
    )
    workers: int = setting(
        0, "processes that decode; 0: threads of the training process, as fast here", at_least=0
    )
    train_split: str = setting("train", "split to train on")
    val_split: str = setting("val", "split of the evaluations")
    eval_scales: tuple[float, ...] = setting(
        (1.0,), "scales averaged in the evaluations during training", at_least=0.1, at_most=10
    )
    eval_batch_size: int = setting(
        8, "images per step of an evaluation, over the devices of one process", above=0
    )
    log_every: int = setting(20, "steps between two entries of the log; 0: never", at_least=0)
    eval_every: int = setting(0, "steps between two evaluations; 0: never", at_least=0)
    checkpoint_every: int = setting(
        1000, "steps between two checkpoints; 0: only at the end", at_least=0
    )
    keep_checkpoints: int = setting(3, "checkpoints that are kept, the latest", above=0)
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)
    loss: LossConfig = dataclasses.field(default_factory=LossConfig)

    def total_steps(self, photos: int) -> int:
        """Steps of the whole run on a training set of that many photos."""
        return self.steps or max(1, self.epochs * photos // self.batch_size)


def settings(cls: type = Config, prefix: str = "") -> dict[str, dataclasses.Field]:
    """Every leaf field by its dotted name, without the leading "config."."""
    fields = {}
    for field in dataclasses.fields(cls):
        if dataclasses.is_dataclass(field.type):
            fields |= settings(field.type, f"{prefix}{field.name}.")
        else:
            fields[prefix + field.name] = field
    return fields


def flat(config: Config) -> dict:
    """Every leaf value by its dotted name, without the leading "config."."""
    return {name: operator.attrgetter(name)(config) for name in settings()}


def bounds(field: dataclasses.Field) -> str:
    """The choices or the range of a field: "one of rgb, bgr", "above 0", or ""."""
    rules = field.metadata
    if rules["choices"]:
        return "one of " + ", ".join(map(str, rules["choices"]))
    if rules["above"] is not None:
        return f"above {rules['above']}"
    if rules["at_most"] is not None:
        return f"from {rules['at_least']} to {rules['at_most']}"
    return "" if rules["at_least"] is None else f"from {rules['at_least']} up"


def expected(field: dataclasses.Field) -> str:
    """What a value of a field must be, in words: "two whole numbers above 0, e.g. 473,473"."""
    if field.type in (bool, str):
        return bounds(field) or {bool: "true or false", str: "text"}[field.type]
    if field.metadata["choices"]:
        return bounds(field)
    items = typing.get_args(field.type)
    kind = "whole number" if int in (field.type, *items) else "number"
    if not items:
        return f"a {kind} {bounds(field)}".rstrip()
    if ... in items:
        return f"{kind}s {bounds(field)}, e.g. 1,0.5"
    count = {2: "two", 3: "three"}[len(items)]
    return f"{count} {kind}s {bounds(field)}".rstrip() + f", e.g. {shown(field.default)}"


def shown(value) -> str:
    """A value as it is written on the command line."""
    if isinstance(value, tuple):
        return ",".join(map(shown, value)) or "()"
    return str(value).lower() if isinstance(value, bool) else str(value)


def validate(config: Config) -> None:
    """Raises InputError naming the first field with a wrong value, and what it must be."""
    for field in dataclasses.fields(config):
        part = getattr(config, field.name)
        if dataclasses.is_dataclass(field.type) and not isinstance(part, field.type):
            _wrong(field.name, part, f"a {field.type.__name__}")
    for (name, field), value in zip(settings().items(), flat(config).values(), strict=True):
        if isinstance(value, list) and typing.get_origin(field.type) is tuple:
            _wrong(name, value, f"a tuple: {tuple(value)}")
        if not _fits(value, field):
            # a number in quotes, from a config file
            value = repr(value) if isinstance(value, str) and value[:1].isdigit() else value
            _wrong(name, value, expected(field))
    if not config.eval_scales:
        _wrong("eval_scales", config.eval_scales, expected(settings()["eval_scales"]))
    if config.scale[0] > config.scale[1]:
        _wrong("scale", config.scale, "smallest,largest")
    if config.steps == 0 and config.epochs == 0:
        _wrong("epochs", 0, "above 0 when config.steps is 0")
    if config.loss.structure_stride >= min(config.crop):
        _wrong("loss.structure_stride", config.loss.structure_stride, "less than config.crop")
    if config.batch_size % config.accumulate:
        _wrong("accumulate", config.accumulate, f"a divisor of batch_size {config.batch_size}")
    if config.model.bottom_up or config.model.top_down or not config.model.hierarchy:
        return
    if config.model.fusion not in ("conditional", "unconditional"):
        _wrong("model.fusion", config.model.fusion, "conditional with direct inference only")


def _fits(value, field: dataclasses.Field) -> bool:
    """Whether a value has the field's type, length and bounds, or is one of its choices."""
    rules, items = field.metadata, typing.get_args(field.type)
    if items:
        if not isinstance(value, tuple) or (items[-1] is not ... and len(value) != len(items)):
            return False
    else:
        value, items = (value,), (field.type,)
    kinds = (int, float) if items[0] is float else items[0]
    return all(
        isinstance(v, kinds)
        and isinstance(v, bool) == (items[0] is bool)
        and not (isinstance(v, float) and not math.isfinite(v))
        and (not rules["choices"] or v in rules["choices"])
        and (rules["above"] is None or v > rules["above"])
        and (rules["at_least"] is None or v >= rules["at_least"])
        and (rules["at_most"] is None or v <= rules["at_most"])
        for v in value
    )


def _wrong(name: str, value, wanted: str) -> typing.NoReturn:
    raise InputError(f"config.{name}={shown(value)}: must be {wanted}")


def from_json(tree: dict) -> Config:
    """The config that `dataclasses.asdict` made into JSON. Raises InputError on unknown fields."""
    return _build(Config, tree, "config")


def _build(cls, tree: dict, where: str):
    fields = {field.name: field for field in dataclasses.fields(cls)}
    unknown = sorted(set(tree) - set(fields))
    if unknown:
        raise InputError(f"{where}.{unknown[0]}: no such field; known are {', '.join(fields)}")
    values = {}
    for name, value in tree.items():
        if dataclasses.is_dataclass(fields[name].type):
            values[name] = _build(fields[name].type, value, f"{where}.{name}")
        else:
            values[name] = tuple(value) if isinstance(value, list) else value
    return cls(**values)
