"""What is written for a photograph: the formats, and their files."""

import dataclasses
import json
import os
import pathlib
import re
import zipfile

import numpy as np

from hparse_jax.errors import InputError
from hparse_jax.hierarchy import Hierarchy
from hparse_jax.inference.describe import describe
from hparse_jax.inference.polygons import labelme
from hparse_jax.inference.result import LEGENDS, Result
from hparse_jax.render import label_png, picture_jpeg, picture_png
from hparse_jax.storage import replacing, write_bytes, write_json

# Of one file each; "rle" is one file of a whole call, "crops" a file for every class found.
_ENDINGS = {
    "png": ".png",
    "overlay": "_overlay.jpg",
    "json": ".json",
    "npz": ".npz",
    "polygons": "_polygons.json",
    "cutout": "_cutout.png",
}
ANNOTATIONS = "annotations.json"  # the COCO file of a call
FORMATS = ("png", "overlay", "json", "npz", "rle", "polygons", "cutout", "crops")


@dataclasses.dataclass(frozen=True)
class Outputs:
    """What is written for every photograph, and under which names.

    hierarchy: of the results. formats: some of FORMATS. classes: names of nodes of any level that
    overlays, run-lengths, polygons, cut-outs and crops show; None: all. legend: of the overlays,
    "none" or "side". levels: label PNGs of the coarser levels, too. origin: what the results
    come from (the step, options of the parser), recorded in the JSON.
    Raises InputError for an unknown format, class or legend.
    """

    hierarchy: Hierarchy
    formats: tuple[str, ...] = ("png", "overlay", "json")
    classes: tuple[str, ...] | None = None
    legend: str = "side"
    levels: bool = False
    origin: dict = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        for what, value, known in (
            *(("formats", name, FORMATS) for name in self.formats),
            ("legend", self.legend, LEGENDS),
        ):
            if value not in known:
                raise InputError(f"{what}={value}: give {', '.join(known)}")
        if not self.formats:
            raise InputError(f"formats: none is given; give some of {', '.join(FORMATS)}")
        if self.classes is not None:
            if not self.classes:
                raise InputError("classes: none is given; name some, or leave it out for all")
            for name in self.classes:
                if self.hierarchy.find(name)[1] == 0:
                    raise InputError("classes=background: nothing would be left out; name others")

    def endings(self) -> tuple[str, ...]:
        """The endings of all files that a photo may get, what `_fixed` lists and crops."""
        crops = self.classes or self.hierarchy.levels[0].nodes[1:]
        crops = crops if "crops" in self.formats else ()
        return *self._fixed(), *map(_crop_ending, crops)

    def shared(self) -> tuple[str, ...]:
        """The files of a whole call."""
        return (ANNOTATIONS,) if "rle" in self.formats else ()

    def _fixed(self) -> tuple[str, ...]:
        """The endings of the files that every photo gets."""
        coarser = self.hierarchy.levels[1:] if self.levels else ()
        return (
            *(_ENDINGS[name] for name in self.formats if name in _ENDINGS),
            *(f"_{level.name}.png" for level in coarser),
        )

    def write(
        self, result: Result, stem: pathlib.Path, one_photo: bool = False
    ) -> list[pathlib.Path]:
        """Writes the files of one photo, STEM + ending, the JSON last; returns their paths.

        one_photo: "rle" is a COCO file of its own, STEM_coco.json. Raises InputError when there is
        no photo for the overlay, the cut-out or the crops, or when it has changed.
        """
        written = []
        photo = None if isinstance(result.photo, np.ndarray) else result.photo
        coco = result.to_coco(self.classes) if "rle" in self.formats and one_photo else None
        if not {"overlay", "cutout", "crops"}.isdisjoint(self.formats):
            result = result.with_photo(result.image())  # read once

        def path(ending: str) -> pathlib.Path:
            written.append(stem.with_name(stem.name + ending))
            return written[-1]

        hierarchy, formats = self.hierarchy, self.formats
        if "png" in formats:
            write_bytes(path(".png"), label_png(result.labels, hierarchy.palette_at(0)))
        for i, level in enumerate(hierarchy.levels[1:] if self.levels else (), 1):
            png = label_png(result.levels[i], hierarchy.palette_at(i))
            write_bytes(path(f"_{level.name}.png"), png)
        if "overlay" in formats:
            picture = result.overlay(legend=self.legend, classes=self.classes)
            write_bytes(path("_overlay.jpg"), picture_jpeg(picture))
        if "npz" in formats:
            _write_probabilities(path(".npz"), result)
        if coco is not None:
            write_json(path("_coco.json"), coco)
        if "polygons" in formats:
            labels, names, _ = result.painted(self.classes)
            where = None if photo is None else _relative(photo, stem.parent)
            write_json(path("_polygons.json"), labelme(labels, names, where))
        if "cutout" in formats:
            write_bytes(path("_cutout.png"), picture_png(result.cutout(self.classes)))
        for name in self.classes or result.names[1:] if "crops" in formats else ():
            if result.mask(name).any():
                write_bytes(path(_crop_ending(name)), picture_png(result.crop(name)))
        if "json" in formats:  # last: its presence says that the others are complete
            head = {} if photo is None else {"photo": str(photo)}
            report = head | self.origin | describe(result) | {"outputs": self._asked()}
            write_json(path(".json"), report)
        return written

    def are_complete(self, stem: pathlib.Path) -> bool:
        """Whether the files of a photo are all there, as this object would write them.

        Its JSON is written last and says what was asked for: formats, classes and so on.
        """
        # os.path.isfile, unlike Path.is_file, takes names of any length
        if not all(os.path.isfile(stem.with_name(stem.name + end)) for end in self._fixed()):
            return False
        try:
            report = json.loads(stem.with_name(f"{stem.name}.json").read_bytes())
        except (OSError, ValueError):
            return False
        asked = json.loads(json.dumps(self.origin | {"outputs": self._asked()}))
        return isinstance(report, dict) and asked.items() <= report.items()

    def _asked(self) -> dict:
        return {
            "hierarchy": self.hierarchy.name,
            "formats": sorted(self.formats),
            "classes": self.classes,
            "legend": self.legend,
            "levels": self.levels,
        }


def _crop_ending(name: str) -> str:
    """Class names are free texts: what a file name cannot hold is percent-encoded."""
    safe = re.sub(r'[\\/:*?"<>|%\x00-\x1f]', lambda match: f"%{ord(match[0]):02X}", name)
    return f"_crop_{safe}.png"


def _write_probabilities(path: pathlib.Path, result: Result) -> None:
    """An npz of float16 [h, w, nodes], one array a level, one level at a time in memory."""
    with (
        replacing(path) as unfinished,
        zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as arrays,
    ):
        for level in result.hierarchy.levels:
            values = result.probabilities(level.name).astype(np.float16)
            with arrays.open(f"{level.name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, values, allow_pickle=False)


def _relative(photo: str | os.PathLike, folder: pathlib.Path) -> str:
    try:
        return pathlib.Path(os.path.relpath(photo, folder)).as_posix()
    except ValueError:  # on another drive
        return str(pathlib.Path(photo).absolute())
