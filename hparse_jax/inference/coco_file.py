"""OUT/annotations.json: the COCO annotations of all photographs of a call, in one file."""

import contextlib
import json
import pathlib
import tempfile
from collections.abc import Collection, Iterator
from typing import BinaryIO

from hparse_jax import coco
from hparse_jax.errors import InputError
from hparse_jax.hierarchy import Hierarchy
from hparse_jax.inference.result import Result
from hparse_jax.storage import replacing


class CocoFile:
    """Photos and their annotations; these wait on disk, so that a call of any length fits."""

    def __init__(self, path: pathlib.Path, hierarchy: Hierarchy, waiting: BinaryIO):
        self._path, self._head, self._waiting = path, coco.head(hierarchy), waiting
        self._places: dict[str, tuple[int, int]] = {}  # file name -> its entry's offset and bytes

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def add(self, name: str, entry: tuple[tuple[int, int], list[dict]]) -> None:
        """Adds a photo's `coco_entry`, or replaces it. Ids are given when the file is written."""
        text = json.dumps(entry).encode()
        place = self._waiting.seek(0, 2), len(text)
        self._waiting.write(text)
        self._places[name] = place  # last: whenever a call is interrupted, what is listed is there

    def read(self) -> None:
        """Adds the photos of the file that an earlier call wrote.

        Raises InputError when it is something else, or has other categories.
        """
        remedy = "give another --output, or parse anew without --skip_existing"
        try:
            tree = json.loads(self._path.read_bytes())
            found = {image["id"]: [] for image in tree["images"]}
            for annotation in tree["annotations"]:
                found[annotation["image_id"]].append(annotation)
            entries = {
                image["file_name"]: ((image["height"], image["width"]), found[image["id"]])
                for image in tree["images"]
            }
            same = tree["categories"] == self._head["categories"]
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{self._path}: not a COCO file of annotations; {remedy}") from error
        if not same:
            raise InputError(f"{self._path}: has the categories of other classes; {remedy}")
        for name, entry in entries.items():
            self.add(name, entry)

    def write(self) -> None:
        """Writes the file, complete or not at all; annotations first, a photo's at a time."""
        images, written = [], 0
        with replacing(self._path) as unfinished, open(unfinished, "w") as file:
            file.write(f'{json.dumps(self._head)[:-1]}, "annotations": [')
            for name, (offset, length) in self._places.items():
                self._waiting.seek(offset)
                (height, width), annotations = json.loads(self._waiting.read(length))
                number = len(images) + 1
                images.append({"id": number, "file_name": name, "height": height, "width": width})
                for annotation in annotations:
                    written += 1
                    annotation |= {"id": written, "image_id": number}
                    file.write(f"{',' if written > 1 else ''}\n{json.dumps(annotation)}")
            file.write(f'\n], "images": {json.dumps(images)}}}\n')


def coco_entry(
    result: Result, classes: Collection[str] | None
) -> tuple[tuple[int, int], list[dict]]:
    """The size (h, w) of a photo and its annotations, as `CocoFile.add` takes them."""
    return result.labels.shape, coco.annotations(result.levels, result.hierarchy, classes=classes)


@contextlib.contextmanager
def coco_file(path: pathlib.Path, hierarchy: Hierarchy, resume: bool) -> Iterator[CocoFile]:
    """A file that is written when the block ends, by Ctrl-C too, but not by an error.

    resume: it starts with the photos of the file that is there. Raises InputError as `read` does.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=path.parent) as waiting:
        file = CocoFile(path, hierarchy, waiting)
        if resume and path.exists():
            file.read()
        try:
            yield file
        except KeyboardInterrupt:
            file.write()
            raise
        file.write()
