"""The settings of a run: every field with its default, meaning, unit, choices and bounds.

A config file returns one `Config`; every field can be overridden on the command line,
`--config.optimizer.base_lr=0.01`. Defaults are the paper's (CNIF section 4.1).
"""

import dataclasses
import math
import operator
import typing

from hparse_jax.errors import InputError

_BOUNDS = {  # of a field, in words -> whether a number keeps them
    "": lambda number: True,
    "above 0": lambda number: number > 0,
    "from 0 up": lambda number: number >= 0,
    "0 or from 17 to 4096": lambda number: number == 0 or 17 <= number <= 4096,
    "from 0.1 to 10": lambda number: 0.1 <= number <= 10,
    "from 0 to 1": lambda number: 0 <= number <= 1,
    "from 0, below 1": lambda number: 0 <= number < 1,
    "from 0 to 180": lambda number: 0 <= number <= 180,
}


def setting(default, meaning: str, allowed: str | tuple = ""):
    """A dataclass field that carries what `validate` and `hparse train --help` say about it.

    allowed: all choices, or a key of _BOUNDS; those of a tuple hold for every element.
    """
    choices = allowed if isinstance(allowed, tuple) else ()
    bounds = "one of " + ", ".join(map(str, choices)) if choices else allowed
    rules = {"meaning": meaning, "bounds": bounds, "choices": choices}
    return dataclasses.field(default=default, metadata=rules)


@dataclasses.dataclass(unsafe_hash=True, slots=True)  # modules hold a copy as a static attribute
class ModelConfig:
    name: str = setting(
        "cnif",
        "cnif: the paper's parser; cnif_official: the network that CNIF's authors released, for "
        "imported weights; else a baseline of the LIP paper, which predicts the leaves only and "
        "for which only width, dtype, input_scales and attention_stride apply",
        ("cnif", "segnet", "fcn8s", "deeplab_largefov", "deeplab_v2", "attention", "cnif_official"),
    )
    depth: int = setting(101, "layers of the ResNet", (18, 34, 50, 101))
    output_stride: int = setting(16, "input pixels per pixel of the last block", (8, 16))
    stem: str = setting(
        "deep",
        "first layers; deep: three 3x3 convolutions of 64, 64 and 128 channels; conv7: one 7x7 "
        "convolution of 64",
        ("deep", "conv7"),
    )
    width: float = setting(1.0, "multiplier of every channel count", "above 0")
    multi_grid: bool = setting(
        False, "dilations of block 4: 2, 4, 8; twice that at output stride 8"
    )
    drop_path: float = setting(
        0.0,
        "stochastic depth: probability that training skips the last residual unit for an image, "
        "less for those before it, in even steps from 0",
        "from 0, below 1",
    )
    scan: str = setting(
        "auto",
        "residual units of equal shapes run in a loop, a smaller program; auto: on GPUs and TPUs",
        ("auto", "on", "off"),
    )
    remat: bool = setting(
        False,
        "training computes maps inside residual units again: less memory, more time",
    )
    hierarchy: bool = setting(True, 'false: the leaves only (CNIF Table 6, "backbone")')
    bottom_up: bool = setting(True, "bottom-up inference (Eq. 14)")
    top_down: bool = setting(True, "top-down inference (Eq. 12)")
    fusion: str = setting(
        "conditional",
        "how a node's predictions are combined: with gates (Eq. 15 to 17), without gates, or by "
        "a static rule of section 3.1",
        ("conditional", "unconditional", "product_of_experts", "bayesian", "ensemble"),
    )
    node_heads: str = setting(
        "per_node",
        "weights of F, F_down, F_up and F_fuse (Eq. 11 to 17 give them no node index): one set per "
        "node, or shared by all nodes of a level",
        ("per_node", "shared"),
    )
    head_width: int = setting(
        64, "channels per node in F, F_down and F_up; at most a quarter of h_I's", "above 0"
    )
    fusion_width: int = setting(16, "channels per node in F_fuse", "above 0")
    reduction: int = setting(16, "of the channels in squeeze-and-excitation (Eq. 10)", "above 0")
    aspp_rates: tuple[int, ...] = setting(
        (), "dilations of ASPP; (): 6,12,18, at output stride 8 12,24,36", "above 0"
    )
    aspp_norm: bool = setting(True, "batch norm in ASPP; false: biases")
    messages: str = setting("logits", "what parents and children send", ("logits", "probabilities"))
    stop_gradient: bool = setting(False, "true: no gradient flows through the messages")
    auxiliary: bool = setting(False, "an auxiliary head on block 3, with its own loss")
    input_scales: tuple[float, ...] = setting(
        (1.0, 0.75, 0.5),
        "scales at which deeplab_v2 and attention see an image, as in their papers; only its own "
        "size: 1,",
        "from 0.1 to 10",
    )
    attention_stride: int = setting(
        1,
        "attention computes its weights at every such point of the grid along each side; 1: at "
        "all, as in its paper; 4: bilinear between them, which saves time",
        (1, 4),
    )
    dtype: str = setting(
        "auto",
        "type of the computation; auto: float32 on a CPU, bfloat16 elsewhere",
        ("auto", "float32", "bfloat16"),
    )


@dataclasses.dataclass(slots=True)
class OptimizerConfig:
    base_lr: float = setting(0.007, "initial learning rate of the poly schedule", "above 0")
    reference_batch_size: int = setting(
        0,
        "the batch size that base_lr is meant for: the rate is base_lr * batch_size / this; 0: "
        "base_lr as it stands",
        "from 0 up",
    )
    momentum: float = setting(0.9, "momentum of SGD", "from 0 up")
    weight_decay: float = setting(5e-4, "on convolutions, not batch norm or biases", "from 0 up")
    decay_all: bool = setting(False, "weight decay on batch norm and biases, too")
    clip_norm: float = setting(
        0.0, "gradients of a larger global norm are scaled down to it; 0: none", "from 0 up"
    )
    power: float = setting(0.9, "exponent of the poly schedule; 0: a constant rate", "from 0 up")
    warmup_steps: int = setting(0, "steps of linear warm-up from 0 to base_lr", "from 0 up")
    new_layers_multiplier: float = setting(
        1.0,
        "multiplier of the learning rate of the last layers (fc8) of the DeepLab networks, of all "
        "layers but the backbone elsewhere",
        "above 0",
    )
    bias_multiplier: float = setting(
        1.0, "multiplier of the learning rate of biases; 2 in the released baselines", "above 0"
    )


@dataclasses.dataclass(slots=True)
class LossConfig:
    level_weights: tuple[float, ...] = setting(
        (), "weight of each level's loss, finest first; (): 1 for every level", "from 0 up"
    )
    class_weights: str = setting(
        "none",
        "weights of the classes in the cross-entropy, from the pixel counts of the training split; "
        "median_frequency: median count / count; inverse_log: 16 / log(count)",
        ("none", "median_frequency", "inverse_log"),
    )
    auxiliary_weight: float = setting(0.4, "cross-entropy weight of auxiliary maps", "from 0 up")
    lovasz_weight: float = setting(0.0, "weight of Lovasz-softmax on the fused maps", "from 0 up")
    lovasz_stride: int = setting(
        1, "Lovasz-softmax reads every such pixel along each side; it sorts them", "above 0"
    )
    structure: str = setting(
        "none",
        "LIP's structure-sensitive loss (section 4): an image's cross-entropy times "
        "its joint error (product, as in the paper) or times 1 + error",
        ("none", "product", "one_plus_error"),
    )
    structure_constants: str = setting(
        "paper",
        "factor of the joint error: the paper's 1 / (2 N), N the joints present, or 0.025 as in "
        "the released code",
        ("paper", "released"),
    )
    structure_stride: int = setting(8, "pixels between the grid points of the joints", "above 0")


@dataclasses.dataclass(slots=True)
class Config:
    seed: int = setting(0, "seed of initial weights, data order and augmentation", "from 0 up")
    dataset: str = setting("lip", "name of the built dataset")
    hierarchy: str = setting("", "shipped name, or JSON or Python file; empty: the dataset's")
    init_from: str = setting(
        "",
        "workdir of a run or of imported weights to start from, a file of `hparse pack`, or "
        "shipped, the parser that comes with the package",
    )
    pretrained: bool = setting(
        False,
        "the published score presumes trained weights, init_from: training says so when it starts "
        "without them",
    )
    freeze_batch_norm: bool = setting(
        False,
        "batch norm normalises with the running statistics that the run starts with and leaves "
        "them; its scale and bias still learn. To fine-tune a trained run",
    )
    ema: float = setting(
        0.0,
        "decay per step of a moving average of the weights, which is then evaluated and predicted "
        "with; 0: none",
        "from 0, below 1",
    )
    data_dir: str = setting("data", "folder where `hparse build` wrote the dataset")
    batch_size: int = setting(40, "images per step, over all devices of all processes", "above 0")
    accumulate: int = setting(1, "micro-batches per step, gradients accumulated", "above 0")
    steps: int = setting(0, "length of the run; 0: derived from epochs", "from 0 up")
    epochs: int = setting(150, "passes over the training split, when steps is 0", "from 0 up")
    crop: tuple[int, int] = setting((473, 473), "training crop: height, width, pixels", "above 0")
    scale: tuple[float, float] = setting(
        (0.5, 2.0), "range of the random scale of training photos, uniform", "above 0"
    )
    scale_choices: tuple[float, ...] = setting(
        (), "scales, equally likely, instead of the range of `scale`; (): the range", "above 0"
    )
    jitter: tuple[float, float, float, float] = setting(
        (0.0, 0.0, 0.0, 0.0),
        "colour jitter of training photos, probability 0.5: largest change of brightness, contrast "
        "and saturation, and of hue in turns of the colour circle",
        "from 0 to 1",
    )
    rotation: float = setting(
        0.0,
        "largest random rotation of training photos in degrees, probability 0.5, together with "
        "the jitter",
        "from 0 to 180",
    )
    flip: bool = setting(True, "random horizontal flip of training photos, probability 0.5")
    mask_padding: bool = setting(
        False,
        "in training, too, averages over the image leave out padding (pixels of label 255), and "
        "convolutions see zeros there",
    )
    mean: tuple[float, float, float] = setting(
        (123.675, 116.28, 103.53), "subtracted from the photos, RGB 0 to 255; also fills padding"
    )
    std: tuple[float, float, float] = setting(
        (58.395, 57.12, 57.375), "the photos are divided by it, RGB 0 to 255", "above 0"
    )
    channels: str = setting("rgb", "channel order of the network's input", ("rgb", "bgr"))
    workers: int = setting(0, "decoding processes; 0: threads, usually as fast", "from 0 up")
    train_split: str = setting("train", "split to train on")
    val_split: str = setting("val", "split of the evaluations")
    eval_scales: tuple[float, ...] = setting(
        (1.0,), "test scales to average over", "from 0.1 to 10"
    )
    eval_side: int = setting(
        0,
        "longer side at which photos are shown before the test scales apply, pixels; 0: own size",
        "0 or from 17 to 4096",
    )
    eval_batch_size: int = setting(8, "images per step and process of an evaluation", "above 0")
    log_every: int = setting(20, "steps between log entries; 0: never", "from 0 up")
    eval_every: int = setting(0, "steps between evaluations; 0: never", "from 0 up")
    checkpoint_every: int = setting(1000, "steps between checkpoints; 0: last only", "from 0 up")
    checkpoint_minutes: float = setting(
        0.0,
        "minutes between checkpoints, besides checkpoint_every; looked at when a log entry is due; "
        "0: none",
        "from 0 up",
    )
    keep_checkpoints: int = setting(3, "latest checkpoints to keep", "above 0")
    keep_every: int = setting(
        0, "checkpoints at multiples of so many steps are kept besides them; 0: none", "from 0 up"
    )
    keep_best: bool = setting(
        False,
        "save at every evaluation, and keep the checkpoint of the best mean IoU of the finest "
        "level besides the latest ones; `--step=best` names it",
    )
    on_nonfinite: str = setting(
        "stop",
        "what follows a step whose loss or gradient is not finite; skip: weights and optimiser "
        "stay as they were, and the run goes on",
        ("stop", "skip"),
    )
    nonfinite_limit: int = setting(10, "a run stops after more skipped steps", "from 0 up")
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


def _expected(field: dataclasses.Field) -> str:
    """What a value of a field must be, in words: "two whole numbers above 0, e.g. 473,473"."""
    rules = field.metadata
    if rules["choices"]:
        return rules["bounds"]
    words = f"{_KINDS[field.type]} {rules['bounds']}".rstrip()
    if not isinstance(field.default, tuple):
        return words
    if len(field.default) > 1:
        return f"{words}, e.g. {shown(field.default)}"
    return f"{words}, e.g. {'6,12' if int in typing.get_args(field.type) else '1,0.5'}"


_KINDS = {
    bool: "true or false",
    str: "text",
    int: "a whole number",
    float: "a number",
    tuple[float, ...]: "numbers",
    tuple[int, ...]: "whole numbers",
    tuple[int, int]: "two whole numbers",
    tuple[float, float]: "two numbers",
    tuple[float, float, float]: "three numbers",
    tuple[float, float, float, float]: "four numbers",
}


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
        if not _fits(value, field) or (name.endswith("_scales") and not value):
            # a number in quotes, from a config file
            value = repr(value) if isinstance(value, str) and value[:1].isdigit() else value
            _wrong(name, value, _expected(field))
    if config.scale[0] > config.scale[1]:
        _wrong("scale", config.scale, "smallest,largest")
    if config.steps == 0 and config.epochs == 0:
        _wrong("epochs", 0, "above 0 when config.steps is 0")
    if config.keep_best and not config.eval_every:
        _wrong("keep_best", True, "false when config.eval_every is 0")
    if config.loss.structure != "none" and config.loss.structure_stride >= min(config.crop):
        _wrong("loss.structure_stride", config.loss.structure_stride, "less than config.crop")
    if config.freeze_batch_norm and not config.init_from:
        _wrong("freeze_batch_norm", True, "false without config.init_from, where statistics are 0")
    if config.batch_size % config.accumulate:
        _wrong("accumulate", config.accumulate, f"a divisor of batch_size {config.batch_size}")
    model = config.model
    static = model.fusion not in ("conditional", "unconditional")
    if static and model.hierarchy and not (model.bottom_up or model.top_down):
        _wrong("model.fusion", model.fusion, "conditional with direct inference only")


def _fits(value, field: dataclasses.Field) -> bool:
    """Whether a value has the field's type, length and bounds, or is one of its choices."""
    items = typing.get_args(field.type)
    if not items:
        value, items = (value,), (field.type,)
    elif not isinstance(value, tuple) or (... not in items and len(value) != len(items)):
        return False
    kind, choices = items[0], field.metadata["choices"]
    in_bounds = choices.__contains__ if choices else _BOUNDS[field.metadata["bounds"]]
    return all(
        isinstance(v, (int, float) if kind is float else kind)
        and isinstance(v, bool) == (kind is bool)
        and (not isinstance(v, float) or math.isfinite(v))
        and in_bounds(v)
        for v in value
    )


def _wrong(name: str, value, wanted: str) -> typing.NoReturn:
    raise InputError(f"config.{name}={shown(value)}: must be {wanted}")


def from_json(tree: dict, kind: type = Config, where: str = "config") -> typing.Any:
    """The Config that `dataclasses.asdict` made into JSON. Raises InputError on unknown fields."""
    fields = {field.name: field.type for field in dataclasses.fields(kind)}
    values = {}
    for name, value in tree.items():
        if name not in fields:
            raise InputError(f"{where}.{name}: no such field; known are {', '.join(fields)}")
        if dataclasses.is_dataclass(fields[name]):
            value = from_json(value, fields[name], f"{where}.{name}")
        values[name] = tuple(value) if isinstance(value, list) else value
    return kind(**values)
