"""Flags that `evaluate`, `predict` and `serve` share."""

import sys

from absl import flags

from hparse_jax.config import Config
from hparse_jax.data.dataset import BuiltDataset
from hparse_jax.engines.choose import ENGINES, PRECISIONS
from hparse_jax.errors import InputError
from hparse_jax.packed import read_header
from hparse_jax.workdir import SHIPPED, located


def define_flags() -> None:
    """Defines the flags of those that take a dataset, too."""
    define_parser_flags()
    flags.DEFINE_string("data_dir", None, "The folder of the built dataset; default: as trained.")


def define_parser_flags() -> None:
    """Defines the flags that say which parser, and how it looks at photographs."""
    flags.DEFINE_string(
        "workdir",
        None,
        "The folder of the training run, or a file that `hparse pack` made. Default: the parser "
        "that comes with the package.",
    )
    flags.DEFINE(
        StepParser(), "step", None, "Step of the checkpoint, or `best`; default: the last one."
    )
    flags.DEFINE_list("scales", None, "Scales to average over; default: config.eval_scales.")
    flags.DEFINE_bool("flip", False, "Average over mirrored photos, too.")
    flags.DEFINE_integer(
        "side",
        None,
        "Show photos with their longer side at this many pixels before the scales apply; 0: at "
        "their own size. Default: config.eval_side; when that is 0, `predict` shows large photos "
        "at the scale of the training.",
    )
    flags.DEFINE_bool(
        "consistent",
        False,
        "Label maps of all levels that agree: the most probable path of the hierarchy at every "
        "pixel.",
    )

    flags.DEFINE_enum(
        "engine",
        "jax",
        ENGINES,
        "The runtime of the network; onnxruntime and openvino are extras. auto: OpenVINO on a CPU "
        "when it is installed, otherwise JAX.",
    )
    flags.DEFINE_enum(
        "precision",
        "auto",
        PRECISIONS,
        "What the network computes in. auto: in JAX what config.model.dtype says, in OpenVINO "
        "bfloat16 where the CPU has it, in onnxruntime float32.",
    )


class StepParser(flags.IntegerParser):
    """A whole number, or "best"."""

    def __init__(self):
        super().__init__()
        self.syntactic_help = "an integer, or best"

    def parse(self, argument):
        return argument if argument == "best" else super().parse(argument)


def built_dataset(config: Config) -> BuiltDataset:
    """The dataset of --dataset in --data_dir; by default those of the run. Raises InputError."""
    name, data_dir = flags.FLAGS.dataset or config.dataset, flags.FLAGS.data_dir
    try:
        return BuiltDataset(name, data_dir or config.data_dir)
    except InputError as error:
        if data_dir:
            raise
        raise InputError(
            f"give --data_dir=FOLDER, the folder of the built datasets; the run's own is not there "
            f"({error})"
        ) from error


def workdir() -> str:
    """The value of --workdir; without it that of the bundled parser, which is then said on stderr.
    Raises InputError when the installation lacks it, and for an empty value."""
    if flags.FLAGS.workdir == "":
        raise InputError("--workdir=: is empty; give a run, or leave it out")
    if flags.FLAGS.workdir is not None:
        return flags.FLAGS.workdir
    note = read_header(located(SHIPPED))["note"]
    print(f"no --workdir is given: the bundled parser, {note}", file=sys.stderr)
    return SHIPPED


def scales() -> tuple[float, ...] | None:
    """The value of --scales; None when it was not given. Raises InputError."""
    return numbers("scales", float, 0.1, 10, "0.75,1,1.25")


def numbers(
    name: str, kind: type, low: int | float, high: int | float, example: str
) -> tuple | None:
    """The value of a flag of comma-separated numbers; None when it was not given.

    Raises InputError unless all are ints or floats, as `kind` says, from low to high.
    """
    texts = flags.FLAGS[name].value
    if texts is None:
        return None
    try:
        values = tuple(map(kind, texts))
    except ValueError:
        values = ()
    if not values or not all(low <= value <= high for value in values):
        words = "whole numbers" if kind is int else "numbers"
        given = f"--{name}={','.join(texts)}"
        raise InputError(f"{given}: give {words} in {low}..{high}, e.g. {example}")
    return values


def side() -> int | None:
    """The value of --side; None when it was not given. Raises InputError."""
    value = flags.FLAGS.side
    if value is not None and value != 0 and not 17 <= value <= 4096:
        raise InputError(f"--side={value}: give 17..4096 pixels, or 0 for the photos' own size")
    return value


def check_positive(*names: str) -> None:
    """Raises InputError when a flag of whole numbers was given and is not above 0."""
    for name in names:
        value = flags.FLAGS[name].value
        if value is not None and value < 1:
            raise InputError(f"--{name}={value}: give a number above 0")
