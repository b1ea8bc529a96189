"""What a client may ask for, and the answers: JSON, a PNG or a zip of files."""

import dataclasses
import io
import json
import pathlib
import tempfile
import zipfile
from collections.abc import Iterable

import numpy as np

from hparse_jax.coco import run_lengths
from hparse_jax.errors import InputError
from hparse_jax.hierarchy import Hierarchy
from hparse_jax.inference import outputs
from hparse_jax.inference.describe import describe
from hparse_jax.inference.photos import decode_photo
from hparse_jax.inference.result import Result
from hparse_jax.render import label_png

JSON, PNG, ZIP = "application/json", "image/png", "application/zip"
# of predict's all but "npz", which compiles programs of its own for a photograph
FORMATS = tuple(name for name in outputs.FORMATS if name != "npz")
_IN_JSON = ("json", "rle")
_PHOTO_SHOWN = {"overlay", "cutout", "crops"}


class NotAcceptable(InputError):
    """A client accepts none of the media types that are served."""


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What a client asks for, and the answer to it.

    media_type: JSON, PNG or ZIP. levels: indices of the levels. formats: some of FORMATS. classes:
    names of the nodes that are listed and painted; None: all.
    """

    hierarchy: Hierarchy
    media_type: str
    levels: tuple[int, ...]
    formats: tuple[str, ...]
    classes: tuple[str, ...] | None

    def body(self, result: Result, photo: bytes, origin: dict, max_pixels: int) -> bytes:
        """The body of the answer.

        photo: the bytes that the result was made of. origin: what the JSON says beside the result.
        """
        if self.media_type == PNG:
            return self._map(result, self.levels[0])
        if self.media_type == JSON:
            return _json(self._report(result, origin))
        files = {}
        if "png" in self.formats:
            for depth in self.levels:
                name = f"photo_{self.hierarchy.levels[depth].name}.png" if depth else "photo.png"
                files[name] = self._map(result, depth)
        files |= self._pictures(result, photo, max_pixels)
        if "json" in self.formats:
            files["photo.json"] = _json(self._report(result, origin))
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        return buffer.getvalue()

    def _report(self, result: Result, origin: dict) -> dict:
        """predict's JSON with the levels and classes asked for, and run-lengths if they are."""
        report = origin | describe(result)
        for level, labels in zip(report["levels"], result.levels, strict=True):
            if self.classes is not None:
                level["classes"] = [c for c in level["classes"] if c["name"] in self.classes]
            by_columns = np.asfortranarray(labels)  # the order of run-lengths
            for found in level["classes"] if "rle" in self.formats else ():
                found["rle"] = run_lengths(by_columns == found["id"])
        return report | {"levels": [report["levels"][i] for i in self.levels]}

    def _pictures(self, result: Result, photo: bytes, max_pixels: int) -> dict[str, bytes]:
        """The files of `predict` beside label maps and JSON, by name."""
        formats = tuple(name for name in self.formats if name not in ("png", "json"))
        if not formats:
            return {}
        if not _PHOTO_SHOWN.isdisjoint(formats):
            # decoded again: whoever waits in the queue keeps the bytes alone
            result = result.with_photo(decode_photo(photo, "photo", max_pixels))
        with tempfile.TemporaryDirectory() as folder:
            paths = result.save(pathlib.Path(folder) / "photo", formats, self.classes)
            return {path.name: path.read_bytes() for path in paths}

    def _map(self, result: Result, level: int) -> bytes:
        return label_png(result.levels[level], self.hierarchy.palette_at(level))


def wanted(hierarchy: Hierarchy, accept: str, levels: str, formats: str, classes: str) -> Wanted:
    """What the header Accept and the texts of a query, comma-separated, ask for.

    An empty text is the default: all levels and classes; JSON, or in a zip everything. Raises
    InputError for an unknown name, and NotAcceptable.
    """
    names = [level.name for level in hierarchy.levels]
    nodes = dict.fromkeys(node for level in hierarchy.levels for node in level.nodes[1:])
    chosen = _listed("formats", formats, FORMATS)
    files = [name for name in chosen if name not in _IN_JSON]
    # whoever takes anything gets a zip when files are asked for, else JSON
    media_type = _media_type(accept, (ZIP, JSON, PNG) if files else (JSON, PNG, ZIP))
    if media_type == JSON and files:
        raise InputError(
            f"formats={formats}: {files[0]} is a file; ask with the header Accept: {ZIP}"
        )
    return Wanted(
        hierarchy,
        media_type,
        tuple(sorted(map(names.index, _listed("levels", levels, names) or names))),
        chosen or (FORMATS if media_type == ZIP else ("json",)),
        _listed("classes", classes, nodes) or None,
    )


def _listed(argument: str, text: str, known: Iterable[str]) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in names:
        if name not in known:
            raise InputError(f"{argument}={name[:40]}: give some of {', '.join(known)}")
    return names


def _media_type(accept: str, served: tuple[str, ...]) -> str:
    """The media type that a client likes best; of equals the first of those served."""
    likes: dict[str, float] = {}
    for entry in accept.split(",") if accept.strip() else ["*/*"]:
        kind, *parameters = (part.strip().lower() for part in entry.split(";"))
        weights = [p[2:] for p in parameters if p.startswith("q=")]
        try:
            likes[kind] = float(weights[0]) if weights else 1.0
        except ValueError:
            likes[kind] = 0.0

    def weight(name: str) -> float:
        names = (name, f"{name.partition('/')[0]}/*", "*/*")
        return next((likes[n] for n in names if n in likes), 0.0)

    best = max(served, key=weight)
    if weight(best) <= 0:
        raise NotAcceptable(f"Accept: {accept[:80]}: give one of {', '.join(sorted(served))}")
    return best


def _json(tree: object) -> bytes:
    return json.dumps(tree, separators=(",", ":")).encode()
