"""The videos of `hparse predict`: their flags, the loop over them, and what it prints."""

import dataclasses
import errno
import pathlib
import sys
import time

from absl import flags

from hparse_jax.commands.inference_flags import check_positive
from hparse_jax.errors import InputError, UsageError
from hparse_jax.inference.class_map import ClassMap
from hparse_jax.inference.outputs import Outputs
from hparse_jax.inference.parse_video import VideoOutputs, parse_video
from hparse_jax.inference.predictor import Predictor
from hparse_jax.storage import printable


def define_flags() -> None:
    flags.DEFINE_integer("every", 1, "Of a video parse every such frame.")
    flags.DEFINE_float(
        "smooth",
        0.0,
        "Of a video average probabilities over the frames before: the share of that average in "
        "a frame's labels, e.g. 0.5.",
    )


def check_flags() -> None:
    """Raises InputError for a wrong value, UsageError for flags that contradict each other."""
    values = flags.FLAGS
    check_positive("every")
    if not 0 <= values.smooth < 1:
        raise InputError(f"--smooth={values.smooth}: give a share from 0, below 1, e.g. 0.5")
    if values.smooth and values.consistent:
        raise UsageError("--smooth averages the levels apart; leave --consistent out")


def predict_videos(
    predictor: Predictor,
    videos: list[tuple[pathlib.Path, pathlib.Path]],
    outputs: Outputs,
    translate: ClassMap | None,
) -> int:
    """Parses the videos of `find_videos` one after the other; 1 when one of them failed.

    outputs: of photographs; frames get them, the overlay apart, when --formats was given. Raises
    UsageError when --skip_existing could not tell which videos are complete.
    """
    values, failures = flags.FLAGS, []
    of_frames = tuple(name for name in outputs.formats if name != "overlay")
    of_frames = of_frames if values["formats"].present else ()
    wanted = VideoOutputs(
        overlay="overlay" in outputs.formats,
        classes=outputs.classes,
        frames=dataclasses.replace(outputs, formats=of_frames) if of_frames else None,
        every=values.every,
        smooth=values.smooth,
        origin=outputs.origin,
    )
    if videos and values.skip_existing and not wanted.overlay:
        raise UsageError(
            "--skip_existing needs overlay in --formats for videos: it says what is complete"
        )
    for path, results in videos:
        if values.skip_existing and wanted.are_complete(path, results):
            print(f"{path}: has its results, {results}*")
            continue
        begin = time.perf_counter()
        try:
            frames = parse_video(predictor, path, results, wanted, translate, values.batch_size)
        except InputError as error:
            failures.append(str(error))
            continue
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            failures.append(f"{printable(path)}: too long a name for its results")
            continue
        speed = frames / (time.perf_counter() - begin)
        print(f"{path}: {frames} frames parsed into {results}*, {speed:.2g} frames/s")
    if failures:
        count = f"{len(failures)} video{'s' * (len(failures) > 1)}"
        print(f"{count} failed:", *failures, sep="\n  ", file=sys.stderr)
    return 1 if failures else 0
