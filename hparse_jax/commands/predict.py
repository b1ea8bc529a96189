"""Parses photographs and videos into label maps, overlays, JSON and other formats."""

import os
import pathlib
import sys
import time
import warnings
from collections.abc import Iterator

from absl import flags
from PIL import Image

from hparse_jax.commands import inference_flags, predict_videos
from hparse_jax.errors import UsageError
from hparse_jax.inference.class_map import ClassMap, read_class_map
from hparse_jax.inference.outputs import FORMATS, Outputs
from hparse_jax.inference.parse import Tally, parse_rounds, write_one
from hparse_jax.inference.parse_video import find_videos
from hparse_jax.inference.photos import Photo, decode_photo, find_photos, read_photo
from hparse_jax.inference.predictor import MAX_SIDE, Predictor, load_parser
from hparse_jax.inference.result import LEGENDS
from hparse_jax.inference.submission import write_submission
from hparse_jax.inference.video import SUFFIXES as VIDEOS
from hparse_jax.inference.watch import arrivals
from hparse_jax.render import label_png
from hparse_jax.storage import check_folder

# Flags that say what is written into a folder for photographs.
_FILES = ("formats", "classes", "legend", "levels", "skip_existing", "watch")


def define_flags() -> None:
    inference_flags.define_flags()
    flags.adopt_module_key_flags(inference_flags)  # --help lists them
    flags.DEFINE_string(
        "output",
        None,
        "The folder for the results; -: the label PNG of one photo, to standard output.",
        required=True,
    )
    flags.DEFINE_list(
        "formats",
        ["png", "overlay", "json"],
        f"What is written for every photo, of {','.join(FORMATS)} (default: png,overlay,json).",
    )
    flags.DEFINE_list(
        "classes",
        None,
        "Classes of any level that overlays, rle, polygons, cutout and crops are restricted to, "
        "e.g. hair,pants.",
    )
    flags.DEFINE_enum("legend", "side", LEGENDS, "Where overlays have their legend.")
    flags.DEFINE_string(
        "map",
        None,
        "Translate the results into the classes of another dataset: a shipped correspondence "
        "(lip_atr) or a JSON file.",
    )
    flags.DEFINE_bool(
        "skip_existing",
        False,
        "Leave out photos and videos whose results are complete, made with the same options and "
        "not older.",
    )
    predict_videos.define_flags()
    flags.adopt_module_key_flags(predict_videos)
    flags.DEFINE_bool(
        "watch",
        False,
        "Parse the photos that arrive in a folder until Ctrl-C; the exit code is 1 when one "
        "failed.",
    )
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
    """`hparse predict [--workdir=DIR] --output=OUT PHOTO_OR_FOLDER_OR_VIDEO...`

    PHOTO may be -, one photograph on standard input. Exits with 1 when a photo failed. Of a video
    NAME it writes NAME_overlay.mp4, without sound; --formats, when it is given, is for every frame.

    `hparse predict [--workdir=DIR] --output=OUT --split=test` parses a split of a built dataset
    into OUT/ID.png and a zip of them.
    """
    values = flags.FLAGS
    inference_flags.check_positive("batch_size", "max_side")
    predict_videos.check_flags()
    _check_usage(argv)
    # Pillow warns of half the pixels that it refuses; memory is for the user to judge
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    if values.output != "-":
        check_folder(pathlib.Path(values.output).absolute(), f"--output={values.output}")
    scales = inference_flags.scales()
    predictor = load_parser(
        inference_flags.workdir(),
        values.step,
        scales=scales,
        flip=values.flip,
        side=inference_flags.side(),
        max_side=values.max_side,
        consistent=values.consistent,
        engine=values.engine,
        precision=values.precision,
    )
    if not isinstance(predictor, Predictor):
        predictor(argv)  # an imported backbone, which refuses photographs
    if values.split is not None:
        return _parse_split(predictor)
    translate = read_class_map(values.map, predictor.hierarchy) if values.map is not None else None
    classes = None if values.classes is None else tuple(dict.fromkeys(values.classes))
    outputs = Outputs(
        translate.target if translate else predictor.hierarchy,
        tuple(values.formats),
        classes,
        values.legend,
        values.levels,
        predictor.settings | ({"map": translate.name} if translate else {}),
    )
    if translate and translate.lost:
        lost = ", ".join(translate.lost)
        print(
            f"background, for want of a class in {translate.target.name}: {lost}", file=sys.stderr
        )
    if argv == ["-"] or values.output == "-":
        return _parse_one(predictor, argv[0], outputs, translate)
    videos = [] if values.watch else find_videos(argv, values.output)
    failed = predict_videos.predict_videos(predictor, videos, outputs, translate)
    photos = [name for name in argv if pathlib.Path(name).suffix.lower() not in VIDEOS]
    if videos and not find_photos(photos, values.output, (), may_be_empty=True):
        return failed
    return failed | predict(
        predictor,
        photos,
        values.output,
        outputs,
        translate,
        values.batch_size,
        values.skip_existing,
        values.watch,
    )


def _check_usage(argv: list[str]) -> None:
    """Raises UsageError for arguments and flags that contradict each other."""
    values = flags.FLAGS
    files = [f"--{name}" for name in _FILES if flags.FLAGS[name].present]
    if argv and values.split is not None:
        raise UsageError(f"photographs or --split, not both: {' '.join(argv)}")
    if values.split is not None and (others := files + ["--map"] * (values.map is not None)):
        raise UsageError(f"--split writes label PNGs alone; leave {', '.join(others)} out")
    if values.split is not None and values.output == "-":
        raise UsageError("--output=- is for one photograph; give a folder for --split")
    if "-" in argv and len(argv) > 1:
        raise UsageError("- is one photograph on standard input; give no others beside it")
    if argv == ["-"] and (values.skip_existing or values.watch):
        raise UsageError("--skip_existing and --watch are for files, not for standard input")
    if values.output == "-":
        if len(argv) != 1 or os.path.isdir(argv[0]):
            raise UsageError("--output=- is the label PNG of one photograph; give one, or -")
        if files and (files != ["--formats"] or values.formats != ["png"]):
            raise UsageError(f"--output=- is the label PNG alone; leave {', '.join(files)} out")
        if sys.stdout.isatty():
            raise UsageError("--output=- writes a PNG; redirect it into a file or a program")
    if values.watch and (len(argv) != 1 or not os.path.isdir(argv[0])):
        raise UsageError(f"--watch takes one folder, not {' '.join(argv) or 'nothing'}")
    if values.skip_existing and "json" not in values.formats:
        raise UsageError("--skip_existing needs json in --formats: it says what is complete")


def _parse_split(predictor: Predictor) -> int:
    values = flags.FLAGS
    dataset = inference_flags.built_dataset(predictor.config)
    archive = write_submission(
        predictor, dataset, values.split, values.output, values.indexed, values.batch_size
    )
    photos = dataset.splits[values.split]
    print(f"{photos} label maps of {dataset.name} {values.split} in {values.output}; {archive}")
    return 0


def _parse_one(
    predictor: Predictor, name: str, outputs: Outputs, translate: ClassMap | None
) -> int:
    """Parses one photograph, a file or - for standard input."""
    output = flags.FLAGS.output
    standard = name == "-"
    image = (
        decode_photo(sys.stdin.buffer.read(), "standard input") if standard else read_photo(name)
    )
    result = predictor(image)
    result = translate(result) if translate else result
    if output == "-":  # nothing else goes there
        sys.stdout.buffer.write(label_png(result.labels, result.hierarchy.palette_at(0)))
        return 0
    write_one(result, pathlib.Path(output) / "stdin", outputs)
    print(f"the photograph parsed into {pathlib.Path(output) / 'stdin'}.*")
    return 0


def predict(
    predictor: Predictor,
    inputs: list[str],
    output: str | os.PathLike,
    outputs: Outputs | None = None,
    translate: ClassMap | None = None,
    batch_size: int | None = None,
    skip_existing: bool = False,
    watch: bool = False,
) -> int:
    """Parses files and folders, lists the photos that failed, and returns the exit code.

    outputs: default `Outputs` of the predictor's classes. translate: results before they are
    written. watch: inputs is one folder, and Ctrl-C the end. Raises InputError when there is no
    photo at all or when results would collide.
    """
    outputs = outputs or Outputs(predictor.hierarchy, origin=predictor.settings)
    begin, tally = time.perf_counter(), Tally()
    names = outputs.endings(), outputs.shared()
    if watch:
        print(f"watching {inputs[0]} until Ctrl-C; results in {output}", flush=True)
        rounds = _told(arrivals(inputs[0], output, *names, _complain), tally)
    else:
        rounds = [find_photos(inputs, output, *names)]
    try:
        parse_rounds(
            predictor, rounds, output, outputs, tally, translate, batch_size, skip_existing
        )
    except KeyboardInterrupt:
        if not watch:
            raise
    speed = f", {tally.parsed / (time.perf_counter() - begin):.2g} photographs/s"
    print(
        f"{tally.parsed} of {tally.parsed + len(tally.failures)} photographs parsed into {output}"
        f"{speed if tally.parsed and not watch else ''}"
        f"{f'; {tally.skipped} had their results' if tally.skipped else ''}"
    )
    if tally.failures and not watch:
        print(f"{len(tally.failures)} failed:", *tally.failures, sep="\n  ", file=sys.stderr)
    return 1 if tally.failures else 0


def _told(rounds: Iterator[list[Photo]], tally: Tally) -> Iterator[list[Photo]]:
    """The same rounds; what failed is printed when it is known, since the end may be days away."""
    told = 0
    for photos in rounds:
        yield photos
        for line in tally.failures[told:]:
            _complain(line)
        told = len(tally.failures)


def _complain(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
