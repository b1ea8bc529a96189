"""Exports a trained parser to ONNX or StableHLO, for use without this package."""

import math
import pathlib

from absl import flags

from hparse_jax.checkpoint import load_run
from hparse_jax.commands.inference_flags import StepParser, check_positive, numbers, workdir
from hparse_jax.errors import InputError, UsageError
from hparse_jax.inference.photos import find_photos, read_photo
from hparse_jax.interop.export import FORMATS, canvas_size, check_output, export_parser

_CALIBRATION = 100  # photographs, spread over those of --int8


def define_flags() -> None:
    flags.DEFINE_string(
        "workdir",
        None,
        "The folder of the training run, or a file that `hparse pack` made. Default: the parser "
        "that comes with the package.",
    )
    flags.DEFINE_string("output", None, "The new file.", required=True)
    flags.DEFINE_enum("format", None, FORMATS, "What to write.", required=True)
    flags.DEFINE_list(
        "size",
        None,
        "Height and width of the canvas that photographs are laid on, in pixels, rounded up to "
        "16 k + 1. Default: the crop of the training.",
    )
    flags.DEFINE_integer(
        "batch", None, "Photographs at a time. Default: 1 in ONNX, any number in StableHLO."
    )
    flags.DEFINE_string("photos", None, "A folder of photographs to compare the results on, too.")
    flags.DEFINE_string(
        "int8",
        None,
        "A folder of photographs to calibrate on: the products with trained weights are computed "
        "in eight bits. At most 100 of them are taken, spread over the folder. With --format=onnx.",
    )
    flags.DEFINE(
        StepParser(), "step", None, "Step of the checkpoint, or `best`; default: the last one."
    )


def main(argv: list[str]) -> None:
    """`hparse export [--workdir=RUN] --output=FILE --format=onnx|stablehlo`

    The whole parser from uint8 photographs to label maps and logits of every level, in float32.
    The file is compared with the network in JAX on random images and on --photos; when logits
    differ by more than 1e-4 of the largest, no file is left. With --int8 that file is then turned
    into one of eight bits, and the labels that stay are counted. docs/export.md says how to run it.
    """
    values = flags.FLAGS
    if argv:
        raise UsageError(f"no arguments but flags, not {' '.join(argv)}")
    check_positive("batch")
    wanted = numbers("size", int, 17, 4096, "473,473")
    if wanted is not None and len(wanted) != 2:
        raise InputError(f"--size={','.join(values.size)}: give height and width, e.g. 473,473")
    check_output(values.output)
    if values.int8 is not None and values.format != "onnx":
        raise InputError(f"--int8={values.int8}: is for --format=onnx, not {values.format}")
    photos, calibration = (
        () if folder is None else find_photos([folder], values.output, ())
        for folder in (values.photos, values.int8)
    )
    every = max(1, math.ceil(len(calibration) / _CALIBRATION))
    run = load_run(workdir(), values.step)
    wanted = wanted or run.config.crop
    size = canvas_size(wanted)
    if size != tuple(wanted):
        print(f"canvas of {size[0]} x {size[1]} pixels: sides are rounded up to 16 k + 1")
    found = export_parser(
        run,
        values.output,
        values.format,
        size,
        values.batch,
        (read_photo(photo.path) for photo in photos),
        [read_photo(photo.path) for photo in calibration[::every]],
    )
    for pictures, agreement in found.items():
        print(
            f"{pictures}: largest difference {agreement.logits:.1e} of the largest logit, "
            f"{agreement.labels:.4%} of labels equal"
        )
    megabytes = pathlib.Path(values.output).stat().st_size / 1e6
    form = values.format if values.int8 is None else f"{values.format} in int8"
    print(f"{values.output}: {form}, {size[0]} x {size[1]} pixels, {megabytes:.1f} MB")
