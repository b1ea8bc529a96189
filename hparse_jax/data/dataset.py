"""A dataset as `hparse build` wrote it: its splits, its hierarchy and its photographs."""

import bisect
import functools
import itertools
import os
import pathlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import UInt8

from hparse_jax.errors import InputError
from hparse_jax.hierarchy import Hierarchy, get_hierarchy, hierarchy_from_json, shipped_hierarchies
from hparse_jax.integrity import SEAL, find_damage
from hparse_jax.storage import check_folder, read_ahead

VERSION = "1.0.0"
_THREADS = 4  # that decode in `BuiltDataset.photos`


class BuiltDataset:
    """A built dataset, opened for reading.

    folder: DATA_DIR/NAME/1.0.0. metadata: what the build noted (docs/datasets.md). splits: split ->
    number of photographs.
    """

    def __init__(self, name: str, data_dir: str | os.PathLike):
        """Raises InputError when data_dir holds no such dataset, or a broken one."""
        self.name = name
        self.folder = dataset_folder(name, data_dir)
        own = f"folder --name={name} --manual_dir=RAW --hierarchy=FILE"
        built = name if name in shipped_hierarchies() else own
        self._command = f"hparse build {built} --data_dir={data_dir}"
        if not self.folder.is_dir():
            raise InputError(
                f"data_dir={data_dir}: no built dataset {name!r} in "
                f"{pathlib.Path(data_dir).absolute()}; run `{self._command}`, or give the data_dir "
                "that holds it"
            )
        if problem := find_damage(self.folder):
            raise InputError(
                f"{problem}; restore the file, or remove {self.folder} and run `{self._command}`; "
                f"if you edited it yourself, remove {self.folder / SEAL}"
            )
        try:
            self._builder = tfds.builder_from_directory(self.folder)
            self.metadata: dict = dict(self._builder.info.metadata or {})
            splits = self._builder.info.splits.items()
            self.splits: dict[str, int] = {split: info.num_examples for split, info in splits}
        except Exception as error:  # TFDS answers broken files with errors of many types
            raise self._broken("not a whole dataset", error) from error

    @functools.cached_property
    def hierarchy(self) -> Hierarchy:
        """The hierarchy it was built with. Raises InputError when the dataset names none."""
        tree = self.metadata.get("hierarchy")
        if isinstance(tree, dict):
            return hierarchy_from_json(tree)
        if self.name in shipped_hierarchies():
            return get_hierarchy(self.name)
        raise InputError(
            f"{self.folder}: names no hierarchy; set config.hierarchy to the file of its classes"
        )

    def records(self, split: str) -> "Records":
        """The records of a split by index: {"id", "image", "label"}, bytes, still encoded.

        Raises InputError for an unknown split, and when the files cannot be read; so does asking
        for a record in a damaged part of a file.
        """
        if split not in self.splits:
            known = ", ".join(self.splits)
            raise InputError(f"dataset {self.name} has no split {split!r}; it has {known}")
        encoded = dict.fromkeys(("image", "label"), tfds.decode.SkipDecoding())
        try:
            records = self._builder.as_data_source(split, decoders=encoded)
            if len(records):
                records[0]  # opens the files
        except (RuntimeError, OSError, ValueError) as error:
            raise self._broken("cannot be read", error) from error
        info = self._builder.info.splits[split]
        files = dict(zip(map(str, info.filepaths), info.shard_lengths, strict=True))
        return Records(records, files, f"remove {self.folder} and run `{self._command}`")

    def photos(
        self,
        split: str,
        hierarchy: Hierarchy | None = None,
        process_index: int = 0,
        process_count: int = 1,
    ) -> Iterator[tuple[str, UInt8[np.ndarray, "_ _ 3"], UInt8[np.ndarray, "_ _"]]]:
        """(id, RGB image, leaf labels) of the photographs p, p + P, ... for process p of P.

        Each once, at original size, decoded in threads a few in advance. hierarchy: whose leaves
        the labels are; None: the dataset's own. Raises InputError as `records` and `decode` do.
        """
        records, hierarchy = self.records(split), hierarchy or self.hierarchy

        def read(index):
            return decode(records[index], hierarchy)

        with ThreadPoolExecutor(_THREADS) as pool:
            indices = range(process_index, len(records), process_count)
            yield from read_ahead(pool, read, indices, 2 * _THREADS)

    def _broken(self, what: str, error: Exception) -> InputError:
        return InputError(
            f"{self.folder}: {what} ({_reason(error)}); remove the folder and run `{self._command}`"
        )


class Records(Sequence):
    """Records in files, {path: how many of them}, in order; of a damaged one the file is named."""

    def __init__(self, records: Sequence, files: dict[str, int], remedy: str):
        self._records, self._files, self._remedy = records, files, remedy

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> dict:
        try:
            return self._records[index]
        except (RuntimeError, OSError, ValueError) as error:
            ends = list(itertools.accumulate(self._files.values()))
            file = list(self._files)[bisect.bisect_right(ends, index)]
            raise InputError(f"{file}: damaged ({_reason(error)}); {self._remedy}") from error


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def dataset_folder(name: str, data_dir: str | os.PathLike) -> pathlib.Path:
    """DATA_DIR/NAME/1.0.0, built or not. Raises InputError when a file is in its place."""
    folder = pathlib.Path(data_dir).absolute() / name / VERSION
    check_folder(folder, f"data_dir={data_dir}")
    return folder


def decode(
    record: dict, hierarchy: Hierarchy
) -> tuple[str, UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w"]]:
    """(id, RGB image, leaf labels) of a record of a built dataset.

    Raises InputError for a broken record and for labels outside the hierarchy.
    """
    photo_id = record["id"].decode()
    # Labels belong to the pixels as stored, whatever orientation a camera noted beside them.
    image = cv2.imdecode(
        np.frombuffer(record["image"], np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    )
    labels = cv2.imdecode(np.frombuffer(record["label"], np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None or labels is None or labels.shape != image.shape[:2]:
        raise InputError(f"record {photo_id}: photo or label is broken; build the dataset again")
    unknown = cv2.LUT(labels, hierarchy.unknown_ids().astype(np.uint8))
    if cv2.countNonZero(unknown):
        raise InputError(
            f"record {photo_id}: label id {labels[unknown > 0][0]} is not in hierarchy "
            f"{hierarchy.name}; set config.hierarchy to the one of the dataset"
        )
    return photo_id, cv2.cvtColor(image, cv2.COLOR_BGR2RGB), labels
