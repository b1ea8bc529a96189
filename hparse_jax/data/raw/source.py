"""The common representation of raw datasets: samples, and how one of them is read.

A layout's module (lip.py, folder.py, ...) finds the files and says how a label is read; checking,
encoding and writing are the same for all of them. `LAYOUT` in it declares what it needs.
"""

import collections
import dataclasses
import itertools
import os
import pathlib
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from hparse_jax.data.raw.files import Files
from hparse_jax.errors import InputError
from hparse_jax.hierarchy import Hierarchy
from hparse_jax.storage import is_safe_name

PHOTOS = (".jpg", ".jpeg", ".png")


@dataclasses.dataclass(frozen=True)
class Sample:
    """One photo. image, label: names of its files; label is None where a split has no labels.

    split: None when the layout lists none; it is then chosen at random. family: a part of the
    dataset that gives its share to every split chosen at random.
    """

    id: str
    image: str
    label: str | None = None
    split: str | None = None
    family: str = ""


class Labels(NamedTuple):
    """Leaf ids of a photo. png: a file that already holds exactly them, to be kept as it is."""

    ids: UInt8[np.ndarray, "h w"]
    png: bytes | None = None


class LeftOut(Exception):
    """A photo with labels outside the class list. args: the names of the labels without one."""


@dataclasses.dataclass
class Source:
    """A raw dataset. Readers raise InputError for a broken file, and LeftOut.

    place: where a sample's file of that name lies, for messages.
    problems: what is wrong with lists and files before any is opened. shares: the fraction of each
    split when splits are random; the first one gets the rest. notes: kept in the dataset's
    metadata. splits: those that the layout has lists or folders for, be their photos good or not.
    """

    hierarchy: Hierarchy
    samples: list[Sample]
    read_image: Callable[[Sample], bytes]
    read_labels: Callable[[Sample], Labels]
    place: Callable[[Sample, str], str]
    problems: list[str] = dataclasses.field(default_factory=list)
    shares: dict[str, float] = dataclasses.field(default_factory=dict)
    notes: dict = dataclasses.field(default_factory=dict)
    splits: tuple[str, ...] = ()

    def __post_init__(self):
        first: dict[str, Sample] = {}
        for sample in self.samples:
            if first.setdefault(sample.id, sample) is not sample:
                self.problems.append(
                    f"{self.place(sample, sample.image)}: id {sample.id} occurs in split "
                    f"{sample.split} and in {first[sample.id].split}; keep one of them"
                )
        self.samples = list(first.values())


@dataclasses.dataclass(frozen=True)
class Layout:
    """How a raw dataset lies on disk.

    find: the raw folder -> its Source; raises InputError when it does not hold the dataset. wanted:
    what the raw folder holds, for messages; "" for a dataset that needs none. own: the user brings
    the name and the hierarchy, and find takes `hierarchy`, too. chictopia: it takes `chictopia`.
    """

    find: Callable[..., Source]
    wanted: str
    own: bool = False
    chictopia: bool = False


def find_root(
    manual_dir: pathlib.Path, names: Sequence[str], markers: Sequence[str]
) -> pathlib.Path:
    """The raw folder: manual_dir itself or one of `names` in it, whichever holds a marker.

    Raises InputError when none does.
    """
    for root in (manual_dir, *(manual_dir / name for name in names)):
        if any((root / marker).exists() for marker in markers):
            return root
    inside = f", nor do {' and '.join(f'{n}/' for n in names)} in it" if names else ""
    raise InputError(
        f"{manual_dir}: does not hold {' or '.join(markers)}{inside}; manual_dir must be the "
        "dataset's raw folder or its parent"
    )


def find_list(files: Files, split: str, folder: str = ".") -> str | None:
    """The list of a split: SPLIT_id.txt or SPLIT.txt in the folder, list/, lists/ or splits/."""
    for place in (folder, "list", "lists", "splits"):
        for name in (f"{split}_id.txt", f"{split}.txt"):
            path = str(pathlib.PurePosixPath(place, name))
            if files.has(path):
                return path
    return None


def find_lists(files: Files, splits: Iterable[str] = ("train", "val", "test")) -> dict[str, str]:
    """split -> its list, for those that have one."""
    found = {split: find_list(files, split) for split in splits}
    return {split: name for split, name in found.items() if name is not None}


def pair(
    files: Files,
    images: str,
    labels: str | None,
    split: str | None = None,
    listed: str | None = None,
    label_suffix: str = ".png",
    family: Callable[[str], str] = lambda photo_id: "",
    without: Iterable[str] = (),
) -> list[Sample]:
    """The samples of a folder of photos and a folder of labels with the same stems.

    listed: the file that lists them, one id a line; without it, all of them. labels: None for
    photos that come without. without: ids of photos that need no label and are then left out. What
    does not fit goes to the problems of `files`.
    """
    missing = [f for f in (images, labels) if f is not None and not files.has_folder(f)]
    if missing:
        files.note(f"{files.root / missing[0]}: no such folder; unpack the dataset again")
        return []
    photos = files.stems(images, PHOTOS)
    masks = {} if labels is None else files.stems(labels, (label_suffix,))
    kinds = [("photo", images, photos)]
    if labels is not None:
        kinds.append(("label", labels, masks))
    if listed is not None:
        ids = read_ids(files, listed)
    else:
        ids = sorted(set(photos) - set(without))
        if not ids:
            files.note(f"{files.root / images}: no photo in it; unpack the dataset again")
        for stem in sorted(set(masks) - set(photos)):
            files.note(
                f"{files.where(masks[stem][0])}: has no photo {images}/{stem}.jpg; "
                "add the photo or remove the label"
            )
    samples = []
    for photo_id in ids:
        names = []
        for what, folder, stems in kinds:
            match stems.get(photo_id, []):
                case [name]:
                    names.append(name)
                case [first, second, *_]:
                    files.note(f"{files.where(first)}: {second} has the same id; keep one")
                case [] if listed is not None:
                    files.note(
                        f"{files.where(listed)}: lists {photo_id}, but there is no {what} of it in "
                        f"{folder}; add the file or remove the line"
                    )
                case []:
                    files.note(
                        f"{files.where(photos[photo_id][0])}: has no label "
                        f"{folder}/{photo_id}{label_suffix}; add the label or remove the photo"
                    )
        if len(names) == len(kinds):
            samples.append(Sample(photo_id, *names, split=split, family=family(photo_id)))
    return samples


def read_ids(files: Files, name: str) -> list[str]:
    """The ids of a list file, any line ends; what is wrong goes to the problems of `files`."""
    where = files.where(name)
    try:
        text = files.read(name).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        files.note(f"{where}: not a text file ({error.reason}); put one id a line into it")
        return []
    except InputError as error:
        files.note(str(error))
        return []
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        files.note(f"{where}: lists no photo; put one id a line into it")
    ids: dict[str, None] = {}
    for line in lines:
        stem, suffix = os.path.splitext(line)
        stem = stem if suffix.lower() in PHOTOS else line
        if not is_safe_name(stem):
            files.note(
                f"{where}: {line!r} leads out of the folder; ids are names without .. or leading /"
            )
        elif stem in ids:
            files.note(f"{where}: lists {stem} twice; keep one line")
        else:
            ids[stem] = None
    return list(ids)


def random_splits(samples: list[Sample], shares: dict[str, float]) -> dict[str, str]:
    """id -> split chosen at random for the samples without one, the same on every machine.

    Every family gives its share to every split. Named are the photos of all splits of `shares` but
    the first, which gets the rest. Each of the others gets at least one photo.
    """
    without = sorted((s for s in samples if s.split is None), key=lambda s: s.id)
    families: dict[str, list[str]] = collections.defaultdict(list)
    for i in np.random.default_rng(0).permutation(len(without)):
        families[without[i].family].append(without[i].id)
    held_out: dict[str, str] = {}
    taken: collections.Counter = collections.Counter()
    seen = 0
    for name in sorted(families):
        members = iter(families[name])
        seen += len(families[name])
        for split in list(shares)[1:]:
            wanted = round(shares[split] * seen)
            if seen == len(without):
                wanted = max(1, wanted)
            for photo_id in itertools.islice(members, max(0, wanted - taken[split])):
                held_out[photo_id] = split
                taken[split] += 1
    return held_out
