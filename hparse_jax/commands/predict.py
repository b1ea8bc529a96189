"""The verb `predict`: photographs and folders of photographs -> label maps, overlays, JSON."""

import dataclasses

from absl import flags

from hparse_jax.errors import InputError, UsageError
from hparse_jax.inference.multiscale import parse_scales
from hparse_jax.inference.parse import predict
from hparse_jax.inference.predictor import MAX_SIDE, load_parser
from hparse_jax.inference.submission import submit


def define_flags() -> None:
    """The flags of `hparse predict`."""
    flags.DEFINE_string("workdir", None, "The folder of the training run.", required=True)
    flags.DEFINE_string("output", None, "The folder for the results.", required=True)
    flags.DEFINE_string("split", None, "Parse a split of a built dataset instead of photographs.")
    flags.DEFINE_string("dataset", None, "With --split: the dataset; default: as trained.")
    flags.DEFINE_string("data_dir", None, "With --split: where it lies; default: as trained.")
    flags.DEFINE_bool("indexed", False, "With --split: PNGs with palette instead of grey ones.")
    flags.DEFINE_bool("levels", False, "Write the coarser levels too.")
    flags.DEFINE_integer("step", None, "Step of the checkpoint; default: the last one.")
    flags.DEFINE_list("scales", None, "Scales to average; default: the run's config.eval_scales.")
    flags.DEFINE_bool("flip", False, "Average over mirrored photos too.")
    flags.DEFINE_integer(
        "batch_size", None, "Photos at a time; default: 1 on a CPU, 8 a device elsewhere."
    )
    flags.DEFINE_integer(
        "max_side", MAX_SIDE, "Photos with a longer side (pixels) are parsed at reduced size."
    )


def main(argv: list[str]) -> int | None:
    """`hparse predict --workdir=DIR --output=OUT PHOTO_OR_FOLDER...`; 1 when a photo failed.

    `hparse predict --workdir=DIR --output=OUT --split=test` parses a split of a built dataset into
    OUT/ID.png and a zip of them.
    """
    values = flags.FLAGS
    for name in ("batch_size", "max_side"):
        if values[name].value is not None and values[name].value < 1:
            raise InputError(f"--{name}={values[name].value}: give a number above 0")
    parser = load_parser(
        values.workdir, values.step, parse_scales(values.scales), values.flip, values.max_side
    )
    if values.split is None:
        return predict(parser, argv, values.output, values.levels, values.batch_size)
    if argv:
        raise UsageError(f"photographs or --split, not both: {' '.join(argv)}")
    data_dir = values.data_dir or parser.config.data_dir
    config = dataclasses.replace(
        parser.config, dataset=values.dataset or parser.config.dataset, data_dir=data_dir
    )
    submit(parser, config, values.split, values.output, values.indexed, values.batch_size)
