"""Video files on disk -> overlay videos, and results of single frames."""

import contextlib
import dataclasses
import json
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
from hparse_jax.storage import printable


@dataclasses.dataclass(frozen=True)
class VideoOutputs:
    """What is written for a video.

    overlay: STEM_overlay.mp4. classes: what it shows; None: all. frames: what is written for every
    frame, in the folder STEM under the frame's number; None: nothing. every: parse every such
    frame. smooth: see `smoothed`; probabilities in files of single frames stay those of the frame.
    origin: as in `Outputs`; recorded in the overlay, together with the rest.
    """

    overlay: bool = True
    classes: tuple[str, ...] | None = None
    frames: Outputs | None = None
    every: int = 1
    smooth: float | int = 0.0
    origin: dict = dataclasses.field(default_factory=dict)

    def are_complete(self, path: pathlib.Path, results: pathlib.Path) -> bool:
        """Whether the results of a video are all there, as this object says, and not older than it.

        The overlay is finished last and records what was asked for. Without it nothing is complete.
        """
        overlay = overlay_of(results)
        try:
            if not self.overlay or overlay.stat().st_mtime_ns < path.stat().st_mtime_ns:
                return False
            with open_video(overlay) as video:
                if json.loads(video.comment) != self.asked():
                    return False
                numbers = range(0, video.count * self.every, self.every)
        except (OSError, ValueError, InputError):  # not there, not readable, or of someone else's
            return False
        return self.frames is None or all(
            self.frames.are_complete(frame_of(results, number)) for number in numbers
        )

    def asked(self) -> dict:
        """What the overlay records, as JSON gives it back."""
        names = ("origin", "classes", "every", "smooth")
        return json.loads(json.dumps({name: getattr(self, name) for name in names}))


def overlay_of(results: pathlib.Path) -> pathlib.Path:
    """The overlay of a video whose results are named so."""
    return results.with_name(results.name + "_overlay.mp4")


def frame_of(results: pathlib.Path, number: int) -> pathlib.Path:
    """The results of one of its frames, without a suffix."""
    return results / f"{number:06}"


def find_videos(
    inputs: Sequence[str | os.PathLike], output: str | os.PathLike
) -> list[tuple[pathlib.Path, pathlib.Path]]:
    """(video, its results without a suffix) of the videos among files and in folders.

    Raises InputError when two videos would share their results, or one lies where they go.
    """
    output, found = pathlib.Path(output), {}
    there = pathlib.Path(os.path.realpath(output))
    for name in map(pathlib.Path, inputs):
        is_folder = os.path.isdir(name)  # unlike Path.is_dir it takes names of any length
        for path in files_under(name, there, SUFFIXES) if is_folder else [name]:
            if path.suffix.lower() not in SUFFIXES:
                continue
            folder = name if is_folder else name.parent
            results = output / path.relative_to(folder).with_suffix("")
            other = found.setdefault(results, path)
            if other != path:
                names = f"{printable(path)} and {printable(other)}"
                shared = printable(overlay_of(results))
                raise InputError(f"{names} would share {shared}; rename one")
            if os.path.realpath(path) == os.path.realpath(overlay_of(results)):
                raise InputError(
                    f"output={output}: {printable(path)} would be overwritten; give another one"
                )
    return [(path, results) for results, path in found.items()]


def parse_video(
    predictor: Predictor,
    path: pathlib.Path,
    results: pathlib.Path,
    outputs: VideoOutputs,
    translate: Callable[[Result], Result] | None = None,
    batch_size: int | None = None,
) -> int:
    """Parses frames of a video and writes what `outputs` says; returns their number.

    The overlay has the size of the upright video and the times of its frames. Frames go through
    as a stream, so a long video takes no more memory than a short one. Shows its progress on a
    terminal. Raises InputError for a file that is no video or is broken; the overlay is then not
    written, results of the frames before are.
    """
    parsed, every = 0, outputs.every
    with contextlib.ExitStack() as stack:
        video = stack.enter_context(open_video(path))
        writer = None
        if outputs.overlay:
            comment = json.dumps(outputs.asked())
            writer = stack.enter_context(write_video(overlay_of(results), video, every, comment))
        total = -(-video.count // every) or None
        bar = stack.enter_context(tqdm(total=total, desc=path.name, unit="frame", disable=None))
        announce = None if bar.disable else bar.write
        frames = ((frame, frame.image) for frame in video.frames(every))
        results_of_frames = predictor.stream(frames, batch_size, announce)
        for frame, result in smoothed(results_of_frames, outputs.smooth):
            result = translate(result) if translate else result
            result = result.with_photo(frame.image)
            if writer is not None:
                writer.write(result.overlay(classes=outputs.classes), frame.pts)
            if outputs.frames is not None:
                outputs.frames.write(result, frame_of(results, frame.number), one_photo=True)
            parsed += 1
            bar.update()
    return parsed
