"""Video files on disk -> overlay videos, and results of single frames."""

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Callable, Sequence

from tqdm import tqdm

from hparse_jax.errors import InputError
from hparse_jax.inference.outputs import Outputs
from hparse_jax.inference.photos import files_under
from hparse_jax.inference.predictor import Predictor
from hparse_jax.inference.result import Result
from hparse_jax.inference.video import SUFFIXES, open_video, smoothed, write_video

OVERLAY = "_overlay.mp4"


@dataclasses.dataclass(frozen=True)
class VideoOutputs:
    """What is written for a video.

    overlay: STEM_overlay.mp4. classes: what it shows; None: all. frames: what is written for every
    frame, in the folder STEM under the frame's number; None: nothing.
    """

    overlay: bool = True
    classes: tuple[str, ...] | None = None
    frames: Outputs | None = None


def find_videos(
    inputs: Sequence[str | os.PathLike], output: str | os.PathLike
) -> list[tuple[pathlib.Path, pathlib.Path]]:
    """(video, its results without a suffix) of the videos among files and in folders.

    Raises InputError when two videos would share their results, or one lies where they go.
    """
    output, found = pathlib.Path(output), {}
    for name in map(pathlib.Path, inputs):
        paths = files_under(name, output.resolve(), SUFFIXES) if name.is_dir() else [name]
        for path in paths:
            if path.suffix.lower() not in SUFFIXES:
                continue
            folder = name if name.is_dir() else name.parent
            results = output / path.relative_to(folder).with_suffix("")
            other = found.setdefault(results, path)
            if other != path:
                raise InputError(f"{path} and {other} would share {results}{OVERLAY}; rename one")
            if path.resolve() == results.with_name(results.name + OVERLAY).resolve():
                raise InputError(f"output={output}: {path} would be overwritten; give another one")
    return [(path, results) for results, path in found.items()]


def parse_video(
    predictor: Predictor,
    path: pathlib.Path,
    results: pathlib.Path,
    outputs: VideoOutputs,
    translate: Callable[[Result], Result] | None = None,
    every: int = 1,
    smooth: float = 0.0,
    batch_size: int | None = None,
) -> int:
    """Parses every so many frames of a video and writes what `outputs` says; returns their number.

    The overlay has the size of the upright video and the times of its frames. smooth: see
    `smoothed`; probabilities in files of single frames stay those of the frame. Frames go through
    as a stream, so a long video takes no more memory than a short one. Shows its progress on a
    terminal. Raises InputError for a file that is no video or is broken; the overlay is then not
    written, results of the frames before are.
    """
    parsed = 0
    with contextlib.ExitStack() as stack:
        video = stack.enter_context(open_video(path))
        writer = None
        if outputs.overlay:
            file = results.with_name(results.name + OVERLAY)
            writer = stack.enter_context(write_video(file, video, every))
        total = -(-video.count // every) or None
        bar = stack.enter_context(tqdm(total=total, desc=path.name, unit="frame", disable=None))
        announce = None if bar.disable else bar.write
        frames = ((frame, frame.image) for frame in video.frames(every))
        for frame, result in smoothed(predictor.stream(frames, batch_size, announce), smooth):
            result = translate(result) if translate else result
            result = result.with_photo(frame.image)
            if writer is not None:
                writer.write(result.overlay(classes=outputs.classes), frame.pts)
            if outputs.frames is not None:
                outputs.frames.write(result, results / f"{frame.number:06}", one_photo=True)
            parsed += 1
            bar.update()
    return parsed
