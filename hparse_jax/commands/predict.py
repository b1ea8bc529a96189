"""Parses photographs and folders of photographs into label maps, overlays and JSON."""

import os
import pathlib
import sys
import time

from absl import flags

from hparse_jax.commands import inference_flags
from hparse_jax.errors import UsageError
from hparse_jax.inference.parse import endings, parse_files
from hparse_jax.inference.photos import find_photos
from hparse_jax.inference.predictor import MAX_SIDE, Predictor, load_parser
from hparse_jax.inference.submission import write_submission
from hparse_jax.storage import check_folder


def define_flags() -> None:
    inference_flags.define_flags()
    flags.adopt_module_key_flags(inference_flags)  # --help lists them
    flags.DEFINE_string("output", None, "The folder for the results.", required=True)
    flags.DEFINE_string("split", None, "Parse a split of a built dataset instead of photographs.")
    flags.DEFINE_string("dataset", None, "With --split: the dataset; default: as trained.")
    flags.DEFINE_bool("indexed", False, "With --split: PNGs with palette instead of grey ones.")
    flags.DEFINE_bool("levels", False, "Write the coarser levels too.")
    flags.DEFINE_integer(
        "batch_size", None, "Photos at a time; default: 1 on a CPU, 8 a device elsewhere."
    )
    flags.DEFINE_integer(
        "max_side", MAX_SIDE, "Photos with a longer side (pixels) are parsed at reduced size."
    )


def main(argv: list[str]) -> int:
    """`hparse predict [--workdir=DIR] --output=OUT PHOTO_OR_FOLDER...`

    Exits with 1 when a photo failed.

    `hparse predict [--workdir=DIR] --output=OUT --split=test` parses a split of a built dataset
    into OUT/ID.png and a zip of them.
    """
    values = flags.FLAGS
    inference_flags.check_positive("batch_size", "max_side")
    if argv and values.split is not None:
        raise UsageError(f"photographs or --split, not both: {' '.join(argv)}")
    check_folder(pathlib.Path(values.output).absolute(), f"--output={values.output}")
    scales = inference_flags.scales()
    predictor = load_parser(
        values.workdir,
        values.step,
        scales=scales,
        flip=values.flip,
        side=inference_flags.side(),
        max_side=values.max_side,
        consistent=values.consistent,
    )
    if not isinstance(predictor, Predictor):
        predictor(argv)  # an imported backbone, which refuses photographs
    if values.split is None:
        return predict(predictor, argv, values.output, values.levels, values.batch_size)
    config = predictor.config
    dataset = inference_flags.built_dataset(config)
    archive = write_submission(
        predictor, dataset, values.split, values.output, values.indexed, values.batch_size
    )
    photos = dataset.splits[values.split]
    print(f"{photos} label maps of {dataset.name} {values.split} in {values.output}; {archive}")
    return 0


def predict(
    predictor: Predictor,
    inputs: list[str],
    output: str | os.PathLike,
    levels: bool = False,
    batch_size: int | None = None,
) -> int:
    """Parses files and folders, lists the photos that failed, and returns the exit code.

    Raises InputError when there is no photo at all or when results would collide.
    """
    photos = find_photos(inputs, output, endings(predictor, levels))
    begin = time.perf_counter()
    failures = parse_files(predictor, photos, levels, batch_size)
    parsed = len(photos) - len(failures)
    speed = f", {parsed / (time.perf_counter() - begin):.2g} photographs/s" if parsed else ""
    print(f"{parsed} of {len(photos)} photographs parsed into {output}{speed}")
    if failures:
        print(f"{len(failures)} failed:", *failures, sep="\n  ", file=sys.stderr)
    return 1 if failures else 0
