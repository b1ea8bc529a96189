"""The settings of a run, with types and units; a config file returns one `Config`.

Defaults are the paper's (CNIF section 4.1). Every field can be overridden on the command line,
`--config.optimizer.base_lr=0.01`.
"""

import dataclasses
import math
import typing

from hparse_jax.errors import InputError


@dataclasses.dataclass(unsafe_hash=True)  # modules hold a copy of it as a static attribute
class ModelConfig:
    # "cnif", or a baseline of LIP (section 3): "segnet", "fcn8s", "deeplab_v2", "attention"; for
    # these only width and dtype count, and the leaves are their only level; or the network that
    # CNIF's authors released, "cnif_official", for imported weights
    name: str = "cnif"
    depth: int = 101  # ResNet: 18, 34, 50 or 101
    output_stride: int = 16  # input pixels per pixel of the last block: 8 or 16
    stem: str = "deep"  # "deep": three 3x3 convolutions 64/64/128; "conv7": one 7x7, 64
    width: float = 1.0  # multiplies every channel count
    multi_grid: bool = False  # dilations of block 4: (2, 4, 8) at stride 16, (4, 8, 16) at 8
    hierarchy: bool = True  # False: the parts only (Table 6, "backbone")
    bottom_up: bool = True  # Eq. 14
    top_down: bool = True  # Eq. 12
    # "conditional" (Eq. 15-17), "unconditional" (no gates), or a static rule of section 3.1:
    # "product_of_experts", "bayesian", "ensemble"
    fusion: str = "conditional"
    node_heads: str = "per_node"  # weights of F, F_down, F_up, F_fuse: "per_node" or "shared"
    messages: str = "logits"  # what parents and children send: "logits" or "probabilities"
    stop_gradient: bool = False  # True: no gradient flows through the messages
    auxiliary: bool = False  # a head on block 3 for the auxiliary loss
    dtype: str = "auto"  # compute type: "float32", "bfloat16"; "auto": bfloat16 on GPU and TPU


@dataclasses.dataclass
class OptimizerConfig:
    base_lr: float = 0.007
    momentum: float = 0.9
    weight_decay: float = 5e-4  # on convolution weights, not on BN and biases
    power: float = 0.9  # of the poly schedule
    warmup_steps: int = 0  # linear, from 0 to base_lr
    new_layers_multiplier: float = 1.0  # learning rate of all but the backbone, times this


@dataclasses.dataclass
class LossConfig:
    level_weights: tuple[float, ...] = ()  # finest first; () means 1 for every level
    auxiliary_weight: float = 0.4  # of the auxiliary maps' cross-entropy, each
    lovasz_weight: float = 0.0  # of the Lovasz-softmax loss on the fused maps
    # LIP section 4: every pixel's cross-entropy is multiplied by the joints' error of its image
    # ("product", the paper's), by 1 + error ("one_plus_error"), or by nothing ("none")
    structure: str = "none"
    structure_constants: str = "released"  # of the error: "released", or "paper": 1 / (2 N)
    structure_stride: int = 8  # pixels between the grid points on which joints are taken


@dataclasses.dataclass
class Config:
    seed: int = 0
    dataset: str = "lip"
    hierarchy: str = ""  # a shipped name or a JSON file; "" means the dataset's own
    init_from: str = ""  # the workdir of another run, or of imported weights: where training starts
    data_dir: str = "data"  # where `hparse build` wrote the dataset
    batch_size: int = 40  # images a step, over all devices of all processes
    accumulate: int = 1  # pieces a batch is cut into, one after the other on each device
    steps: int = 0  # 0: from epochs
    epochs: int = 150
    crop: tuple[int, int] = (473, 473)  # height, width in pixels
    scale: tuple[float, float] = (0.5, 2.0)  # random scale of training photos, uniform
    flip: bool = True  # mirror half of the training photos
    mean: tuple[float, float, float] = (123.675, 116.28, 103.53)  # RGB 0-255; also the padding
    std: tuple[float, float, float] = (58.395, 57.12, 57.375)  # RGB 0-255
    channels: str = "rgb"  # the order in which the network gets them: "rgb" or "bgr"
    workers: int = 0  # processes that decode; 0: threads of the training process, as fast here
    train_split: str = "train"
    val_split: str = "val"
    eval_scales: tuple[float, ...] = (1.0,)  # of the validation during training
    eval_batch_size: int = 8  # images at a time, over the devices of one process
    log_every: int = 20  # steps; 0: never
    eval_every: int = 0  # steps; 0: never
    checkpoint_every: int = 1000  # steps; 0: only at the end
    keep_checkpoints: int = 3
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)
    loss: LossConfig = dataclasses.field(default_factory=LossConfig)

    def total_steps(self, photos: int) -> int:
        """Steps of the whole run on a training set of that many photos."""
        return self.steps or max(1, self.epochs * photos // self.batch_size)


_CHOICES = {
    "model.name": (
        "cnif",
        "segnet",
        "fcn8s",
        "deeplab_v2",
        "attention",
        "cnif_official",
    ),
    "channels": ("rgb", "bgr"),
    "model.depth": (18, 34, 50, 101),
    "model.output_stride": (8, 16),
    "model.stem": ("deep", "conv7"),
    "model.fusion": (
        "conditional",
        "unconditional",
        "product_of_experts",
        "bayesian",
        "ensemble",
    ),
    "model.node_heads": ("per_node", "shared"),
    "model.messages": ("logits", "probabilities"),
    "model.dtype": ("auto", "float32", "bfloat16"),
    "loss.structure": ("none", "product", "one_plus_error"),
    "loss.structure_constants": ("released", "paper"),
}
_POSITIVE = (
    "batch_size",
    "accumulate",
    "crop",
    "scale",
    "std",
    "eval_batch_size",
    "keep_checkpoints",
    "model.width",
    "loss.structure_stride",
    "optimizer.base_lr",
    "optimizer.new_layers_multiplier",
)
_NOT_NEGATIVE = (
    "seed",
    "steps",
    "epochs",
    "workers",
    "log_every",
    "eval_every",
    "checkpoint_every",
    "optimizer.momentum",
    "optimizer.weight_decay",
    "optimizer.power",
    "optimizer.warmup_steps",
    "loss.level_weights",
    "loss.auxiliary_weight",
    "loss.lovasz_weight",
)
_LENGTH_2 = ("crop", "scale")
_LENGTH_3 = ("mean", "std")


def validate(config: Config) -> None:
    """Raises InputError naming the first field whose value cannot be meant."""
    values = flat(config)
    for field, default in flat(type(config)()).items():
        _check_type(field, values[field], default)
        if any(isinstance(v, float) and math.isinf(v) for v in _numbers(values[field])):
            _wrong(field, values[field], "finite")
    for field, choices in _CHOICES.items():
        if values[field] not in choices:
            _wrong(field, values[field], "one of " + ", ".join(map(str, choices)))
    for fields, length in ((_LENGTH_2, 2), (_LENGTH_3, 3)):
        for field in fields:
            if len(values[field]) != length:
                _wrong(field, values[field], f"{length} numbers")
    for field in _POSITIVE:
        if any(not v > 0 for v in _numbers(values[field])):
            _wrong(field, values[field], "above 0")
    for field in _NOT_NEGATIVE:
        if any(not v >= 0 for v in _numbers(values[field])):
            _wrong(field, values[field], "0 or more")
    if not values["eval_scales"] or not all(0.1 <= s <= 10 for s in values["eval_scales"]):
        _wrong("eval_scales", values["eval_scales"], "scales in 0.1..10, at least one")
    if config.scale[0] > config.scale[1]:
        _wrong("scale", config.scale, "(smallest, largest)")
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


def _check_type(field: str, value, default) -> None:
    kinds = {int: (int,), float: (int, float), bool: (bool,), str: (str,), tuple: (tuple,)}
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    kind = type(default)
    if not isinstance(value, kinds[kind]) or (isinstance(value, bool) and kind is not bool):
        _wrong(field, value, names.get(kind, "numbers in a row: 1,2"))
    if kind is tuple:
        element = 0 if field == "crop" else 0.0
        for number in value:
            _check_type(field, number, element)


def _numbers(value) -> tuple:
    return value if isinstance(value, tuple) else (value,)


def _wrong(field: str, value, expected: str) -> typing.NoReturn:
    raise InputError(f"config.{field}={value!r}: must be {expected}")


def flat(config, prefix: str = "") -> dict:
    """Every leaf field by its dotted name, without the leading "config."."""
    values = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            values |= flat(value, f"{prefix}{field.name}.")
        else:
            values[prefix + field.name] = value
    return values


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
