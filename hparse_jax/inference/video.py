"""Video files: their frames, an overlay video of the same rate and size, and smoothing in time.

Needs PyAV (the extra `video`), which brings FFmpeg's libraries along.
"""

import contextlib
import dataclasses
import fractions
import importlib
import os
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from jaxtyping import UInt8

from hparse_jax.errors import InputError
from hparse_jax.storage import printable, replacing

SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm")
_CODECS = ("libx264", "mpeg4")  # the first that the installed FFmpeg has


@dataclasses.dataclass(frozen=True)
class Frame:
    """number: in the file, from 0. pts: when it is shown, in the time base of the video. image:
    upright."""

    number: int
    pts: int
    image: UInt8[np.ndarray, "h w 3"]


class Video:
    """A video file that is open for reading.

    time_base: seconds of a unit of pts. rate: frames a second, of a variable rate the average.
    count: frames that its header announces; 0: none. comment: a text in the file, often empty.
    """

    def __init__(self, path: pathlib.Path, container: Any):
        self._path, self._container = path, container
        self._stream = container.streams.video[0]
        self._stream.thread_type = "AUTO"
        self.time_base: fractions.Fraction = self._stream.time_base
        self.rate = fractions.Fraction(self._stream.average_rate or 25)
        self.count: int = self._stream.frames
        self.comment: str = container.metadata.get("comment", "")

    def frames(self, every: int = 1) -> Iterator[Frame]:
        """Every such frame, the first one included. Raises InputError when there is none, where the
        file is broken, and where it ends before the length that its header gives."""
        number, pts = -1, 0
        try:
            for number, frame in enumerate(self._container.decode(self._stream)):
                pts = round(number / self.rate / self.time_base)
                pts = pts if frame.pts is None else frame.pts
                if number % every == 0:
                    yield Frame(number, pts, _upright(frame))
        except _errors() as error:
            raise InputError(
                f"{self._path}: broken after frame {number} ({_reason(error)})"
            ) from error
        if number < 0:
            raise InputError(f"{self._path}: a video without frames")
        end, length = float(pts * self.time_base), self._seconds()
        if end + 2 / self.rate + 0.5 < length:
            raise InputError(
                f"{self._path}: ends after {end:.1f} of {length:.1f} seconds; the file is cut"
            )

    def _seconds(self) -> float:
        """The length that the header gives, 0 if it gives none for the pictures alone."""
        if self._stream.duration:
            return float(self._stream.duration * self.time_base)
        alone = len(self._container.streams) == 1
        return (self._container.duration or 0) / _av().time_base if alone else 0.0


@contextlib.contextmanager
def open_video(path: str | os.PathLike) -> Iterator[Video]:
    """Raises InputError when PyAV is not installed, and for a file that is no video."""
    av, path = _av(), pathlib.Path(path)
    if not path.is_file():
        raise InputError(f"{printable(path)}: no such file; check the name")
    try:
        container = av.open(str(path))
    except _errors() as error:
        raise InputError(f"{printable(path)}: not a readable video ({_reason(error)})") from error
    with container:
        if not container.streams.video:
            raise InputError(f"{path}: holds no video, perhaps sound alone")
        yield Video(path, container)


class Writer:
    """An MP4 of pictures of one size, shown when the frames of `source` are. Without sound."""

    def __init__(self, container: Any, source: Video, every: int):
        self._container, self._source, self._every = container, source, every
        self._stream = None

    def write(self, picture: UInt8[np.ndarray, "h w 3"], pts: int) -> None:
        av = _av()
        if self._stream is None:
            self._stream = self._begin(*picture.shape[:2])
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        frame.pts, frame.time_base = pts, self._source.time_base
        self._container.mux(self._stream.encode(frame))

    def finish(self) -> None:
        if self._stream is not None:
            self._container.mux(self._stream.encode())

    def _begin(self, height: int, width: int):
        codec = next(name for name in _CODECS if name in _av().codecs_available)
        stream = self._container.add_stream(codec, rate=self._source.rate / self._every)
        stream.width, stream.height = width, height
        # colours at half the resolution, as players expect, need even sides
        even = height % 2 == width % 2 == 0
        stream.pix_fmt = "yuv420p" if even or codec != "libx264" else "yuv444p"
        stream.codec_context.time_base = self._source.time_base
        return stream


@contextlib.contextmanager
def write_video(
    path: pathlib.Path, source: Video, every: int = 1, comment: str = ""
) -> Iterator[Writer]:
    """A new MP4, whole or absent. every: the step between the frames of `source` that it shows.

    comment: a text that the file holds, see `Video.comment`.
    """
    with (
        replacing(path) as unfinished,
        _av().open(str(unfinished), "w", format="mp4") as container,
    ):
        container.metadata["comment"] = comment
        writer = Writer(container, source, every)
        yield writer
        writer.finish()


def smoothed(results: Iterable[tuple[Frame, Any]], share: float) -> Iterator[tuple[Frame, Any]]:
    """The results with labels of probabilities that are averaged over the frames before.

    share: of the average so far in that of a frame; the frame itself has the rest. 0: the results
    as they are.
    """
    before: list[np.ndarray] = []
    for frame, result in results:
        if share:
            now = [result.probabilities(depth) for depth in range(len(result.levels))]
            if before:
                now = [
                    share * old + (1 - share) * new for old, new in zip(before, now, strict=True)
                ]
            before = now
            levels = tuple(mean.argmax(-1).astype(np.uint8) for mean in now)
            result = dataclasses.replace(result, labels=levels[0], levels=levels)
        yield frame, result


def _av():
    try:
        return importlib.import_module("av")
    except ImportError as error:
        raise InputError(f"videos need PyAV ({error}); pip install 'hparse_jax[video]'") from error


def _errors() -> tuple[type[Exception], ...]:
    return (_av().error.FFmpegError, ValueError)


def _reason(error: Exception) -> str:
    return " ".join(str(getattr(error, "strerror", None) or error).split())


def _upright(frame: Any) -> UInt8[np.ndarray, "h w 3"]:
    """A frame as RGB, turned as its rotation tag says (degrees counter-clockwise)."""
    image = frame.to_ndarray(format="rgb24")
    turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image
