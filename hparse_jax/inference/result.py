"""The parsing of one photograph, and what a user takes from it: masks, pictures, COCO, files."""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from hparse_jax.coco import annotations, head
from hparse_jax.errors import InputError
from hparse_jax.hierarchy import Hierarchy
from hparse_jax.inference.photos import read_photo
from hparse_jax.render import OPACITY, overlay, picture_png, with_legend
from hparse_jax.storage import printable

LEGENDS = ("none", "side")
_NOTEBOOK_SIDE = 800  # pixels of the longer side of the picture that a notebook shows
# Files that `save` writes, and that its path may be named after.
_SUFFIXES = (".png", ".jpg", ".json", ".npz")


@dataclasses.dataclass(frozen=True, repr=False)
class Result:
    """The parsing of one photograph of size (h, w).

    labels: leaf id of every pixel. levels: node ids of every level, finest first; levels[0] is
    labels. hierarchy: what the ids mean. gates: for each level source ("direct", "top_down",
    "bottom_up") -> how far each node trusts it, float32 [nodes] (CNIF Eq. 15-16).
    photo: what `cutout`, `crop` and `overlay` show. `parser(photo)` keeps what it was given: the
    array itself, not a copy, or the path, whose file is read again when a picture is asked for.
    Results of `parser.stream` hold None, so that a stream's memory is bounded; `with_photo` gives
    them one.
    """

    labels: UInt8[np.ndarray, "h w"]
    levels: tuple[UInt8[np.ndarray, "h w"], ...]
    hierarchy: Hierarchy
    gates: tuple[dict[str, Float[np.ndarray, " _"]], ...]
    _logits: Callable[[int], Float[np.ndarray, "_ _ nodes"]]
    photo: UInt8[np.ndarray, "_ _ 3"] | str | os.PathLike | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The leaves' names in id order."""
        return self.hierarchy.levels[0].nodes

    def probabilities(self, level: int | str = 0) -> Float[np.ndarray, "h w nodes"]:
        """Softmax over the nodes of a level at the photo's size, computed when asked for.

        level: its index, 0 is the finest, or its name. Raises InputError for another one.
        """
        names = [level.name for level in self.hierarchy.levels]
        index = names.index(level) if level in names else level
        if index not in range(len(names)):
            raise InputError(
                f"level {level!r}: this parser has levels 0..{len(names) - 1}: {', '.join(names)}"
            )
        logits = self._logits(index)
        height, width = self.labels.shape
        if logits.shape[:2] != (height, width):
            logits = cv2.resize(logits, (width, height), interpolation=cv2.INTER_LINEAR)
        values = logits - logits.max(-1, keepdims=True)
        np.exp(values, out=values)  # in place: these are the largest arrays of a photo
        values /= values.sum(-1, keepdims=True)
        return values

    def mask(self, name: str) -> Bool[np.ndarray, "h w"]:
        """The pixels of a node of any level; of a name at several levels the finest one's.

        Raises InputError for an unknown name.
        """
        level, node = self.hierarchy.find(name)
        return self.levels[level] == node

    def cutout(self, name: str | Sequence[str] | None = None) -> UInt8[np.ndarray, "h w 4"]:
        """The photo as RGBA, opaque at the pixels of a node; elsewhere transparent black.

        name: of a node of any level, or several; None: everything but background. Raises
        InputError for an unknown name and when there is no photo.
        """
        return self._cut(self.painted([name] if isinstance(name, str) else name)[0] > 0)

    def crop(self, name: str) -> UInt8[np.ndarray, "_ _ 4"]:
        """The cut-out of a node within the box of its pixels.

        Raises InputError as `cutout` does, and when no pixel is of that node.
        """
        mask = self.mask(name)
        if not mask.any():
            raise InputError(f"no pixel of this photo is {name}; result.mask({name!r}) is empty")
        rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
        return self._cut(mask)[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]

    def overlay(
        self,
        alpha: float | int = OPACITY,
        legend: str = "none",
        classes: Sequence[str] | None = None,
    ) -> UInt8[np.ndarray, "H W 3"]:
        """The photo with every class blended in its colour, outlines in white.

        alpha: opacity of the colours, 0..1. legend: "none", or "side": the colours' names on the
        right, outside the photo. classes: see `painted`. Raises InputError for another value and
        when there is no photo.
        """
        if not 0 <= alpha <= 1:
            raise InputError(f"alpha={alpha}: give an opacity in 0..1")
        if legend not in LEGENDS:
            raise InputError(f"legend={legend}: give one of {', '.join(LEGENDS)}")
        return self._picture(self.image(), self.painted(classes), alpha, legend)

    def painted(
        self, classes: Sequence[str] | None = None
    ) -> tuple[UInt8[np.ndarray, "h w"], tuple[str, ...], UInt8[np.ndarray, "n 3"]]:
        """(labels, names, palette) of some classes alone, numbered from 1 on; the rest is 0.

        classes: names of nodes of any level, a finer one painted over a coarser one; None: the
        leaves as they are. Raises InputError for an unknown name.
        """
        if classes is None:
            return self.labels, self.names, self.hierarchy.palette_at(0)
        found = [self.hierarchy.find(name) for name in classes]
        painted = np.zeros_like(self.labels)
        for depth in reversed(range(len(self.levels))):
            table = np.zeros(256, np.uint8)
            for label, (level, node) in enumerate(found, 1):
                if level == depth:
                    table[node] = label
            shown = table[self.levels[depth]]
            painted = np.where(shown > 0, shown, painted)
        colours = [self.hierarchy.palette_at(level)[node] for level, node in found]
        palette = np.array([(0, 0, 0), *colours], np.uint8)
        return painted, ("background", *classes), palette

    def to_coco(self, classes: Sequence[str] | None = None) -> dict:
        """The COCO JSON of this photo: images, annotations and categories, of every level.

        Category ids are node id + 1000 * level. file_name is the photo's, where it is known by its
        path. classes: names of the nodes to annotate, by default all that are found.
        """
        height, width = self.labels.shape
        name = pathlib.Path(self.photo).name if isinstance(self.photo, str | os.PathLike) else ""
        for node in classes or ():
            self.hierarchy.find(node)
        return {
            **head(self.hierarchy),
            "images": [{"id": 1, "file_name": name, "height": height, "width": width}],
            "annotations": annotations(self.levels, self.hierarchy, classes=classes),
        }

    def image(self) -> UInt8[np.ndarray, "h w 3"]:
        """The photo as RGB, read again where its path is known.

        Raises InputError when there is none, and when the file is gone or has changed.
        """
        if self.photo is None:
            raise InputError("this result has no photo to show; use result.with_photo(photo)")
        if isinstance(self.photo, np.ndarray):
            return self.photo
        image = read_photo(self.photo)
        self._check_size(image, self.photo)
        return image

    def enlarged(self, size: tuple[int, int]) -> "Result":
        """The same result for the photo at another size (h, w), at which it then is."""
        levels = tuple(labels_at(labels, size) for labels in self.levels)
        return dataclasses.replace(self, labels=levels[0], levels=levels)

    def with_photo(self, photo: UInt8[np.ndarray, "_ _ 3"] | str | os.PathLike) -> "Result":
        """The same result that knows its photo. Raises InputError for an image of another size."""
        if isinstance(photo, np.ndarray):
            self._check_size(photo, photo)
        return dataclasses.replace(self, photo=photo)

    def save(
        self,
        path: str | os.PathLike,
        formats: Sequence[str] = ("png", "overlay", "json"),
        classes: Sequence[str] | None = None,
        legend: str = "side",
    ) -> list[pathlib.Path]:
        """Writes PATH.png, PATH_overlay.jpg, ... as `hparse predict` does; returns the files.

        path: without a suffix; one of .png, .jpg, .json and .npz is taken off. formats: png,
        overlay, json, npz, rle (the COCO JSON of this photo, PATH_coco.json), polygons, cutout,
        crops. classes: what all but png, json and npz are restricted to. Raises InputError for an
        unknown format or class, and when there is no photo for overlay, cutout or crops.
        """
        from hparse_jax.inference.outputs import Outputs  # here: it builds on this file

        path = pathlib.Path(path)
        path = path.with_suffix("") if path.suffix.lower() in _SUFFIXES else path
        chosen = None if classes is None else tuple(classes)
        outputs = Outputs(self.hierarchy, tuple(formats), chosen, legend)
        return outputs.write(self, path, one_photo=True)

    def __repr__(self) -> str:
        """Size, levels, and the leaves that were found, with their shares of the photo."""
        height, width = self.labels.shape
        shares = np.bincount(self.labels.ravel(), minlength=len(self.names)) / self.labels.size
        order = [i for i in np.argsort(-shares, kind="stable").tolist() if i and shares[i]]
        found = ", ".join(f"{self.names[i]} {shares[i]:.1%}" for i in order) or "background alone"
        levels = ", ".join(level.name for level in self.hierarchy.levels)
        return f"<Result {width} x {height} pixels, levels {levels}: {found}>"

    def _repr_png_(self) -> bytes:
        """What a notebook shows: the overlay with its legend.

        Without a photo the colours alone, and when its file is gone or has changed.
        """
        height, width = self.labels.shape
        factor = min(1, _NOTEBOOK_SIDE / max(height, width))
        size = max(1, round(width * factor)), max(1, round(height * factor))
        labels, names, palette = self.painted()
        labels = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST_EXACT)
        try:
            image, alpha = cv2.resize(self.image(), size, interpolation=cv2.INTER_AREA), OPACITY
        except InputError:
            image, alpha = np.full((*labels.shape, 3), 255, np.uint8), 1.0
        return picture_png(self._picture(image, (labels, names, palette), alpha, "side"))

    def _picture(
        self, image: np.ndarray, painted: tuple, alpha: float | int, legend: str
    ) -> np.ndarray:
        labels, names, palette = painted
        picture = overlay(image, labels, palette, alpha)
        return picture if legend == "none" else with_legend(picture, labels, names, palette)

    def _cut(self, mask: np.ndarray) -> np.ndarray:
        return np.dstack([self.image() * mask[..., None], mask.astype(np.uint8) * 255])

    def _check_size(self, image: np.ndarray, name: np.ndarray | str | os.PathLike) -> None:
        if image.shape[:2] != self.labels.shape:
            (height, width), (own_height, own_width) = image.shape[:2], self.labels.shape
            name = "the image" if isinstance(name, np.ndarray) else printable(name)
            raise InputError(
                f"{name}: {width} x {height} pixels, and {own_width} x {own_height} when it was "
                "parsed; parse it again"
            )


def labels_at(labels: UInt8[np.ndarray, "_ _"], size: tuple[int, int]) -> UInt8[np.ndarray, "_ _"]:
    """A copy of a label map at another size (height, width): every pixel has its nearest label."""
    if labels.shape == tuple(size):
        return labels.copy()  # not a view that keeps the whole batch in memory
    return cv2.resize(labels, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
