"""Built datasets -> batches. The training stream is a pure function of (config, seed, step).

The same global batches come for any number of workers and processes, and a run that starts at step
n starts with the batch of step n, at once.
"""

import contextlib
import functools
import multiprocessing
import os
import pathlib
import signal
import threading
from collections.abc import Iterator, Sequence

import cv2
import grain
import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import UInt8

from hparse_jax.config import Config
from hparse_jax.data.buckets import CanvasBatch, group_by_canvas
from hparse_jax.data.transforms import flip_image, flip_labels, random_scale_crop
from hparse_jax.errors import InputError
from hparse_jax.hierarchy import (
    Hierarchy,
    get_hierarchy,
    hierarchy_from_json,
    shipped_hierarchies,
)

# Batches of crops are large (7 MB for eight of 473 x 473), grain's own default would hold 500.
_THREADS = 4
_WORKER_READ = grain.ReadOptions(num_threads=1, prefetch_buffer_size=1)
_THREADED_READ = grain.ReadOptions(num_threads=_THREADS, prefetch_buffer_size=_THREADS)


def open_split(config: Config, split: str) -> Sequence[dict[str, bytes]]:
    """The records of a built dataset by index: {"id", "image", "label"}, still encoded.

    Raises InputError when the dataset or the split is not there.
    """
    builder = _built(config)
    if split not in builder.info.splits:
        known = ", ".join(builder.info.splits)
        raise InputError(f"dataset {config.dataset} has no split {split!r}; it has {known}")
    encoded = dict.fromkeys(("image", "label"), tfds.decode.SkipDecoding())
    try:
        records = builder.as_data_source(split, decoders=encoded)
        if len(records):
            records[0]  # opens the files
    except (RuntimeError, OSError, ValueError) as error:
        raise InputError(
            f"{builder.data_path}: cannot be read ({' '.join(str(error).split())[:200]}); "
            f"remove the folder and run `{_command(config)}`"
        ) from error
    return records


def _built(config: Config) -> tfds.core.DatasetBuilder:
    data_dir = pathlib.Path(config.data_dir).absolute()
    try:
        return tfds.core.read_only_builder.builder_from_files(config.dataset, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError:
        raise InputError(
            f"config.data_dir={config.data_dir}: no built dataset {config.dataset!r} in it; "
            f"run `{_command(config)}`"
        ) from None


def _command(config: Config) -> str:
    if config.dataset in shipped_hierarchies():
        return f"hparse build {config.dataset} --manual_dir=RAW --data_dir={config.data_dir}"
    return (
        f"hparse build folder --name={config.dataset} --manual_dir=RAW --hierarchy=FILE "
        f"--data_dir={config.data_dir}"
    )


def dataset_hierarchy(config: Config) -> Hierarchy:
    """The hierarchy of `config.hierarchy`, or the one that the dataset was built with.

    Raises InputError when there is neither.
    """
    if config.hierarchy:
        return get_hierarchy(config.hierarchy)
    if config.dataset in shipped_hierarchies():
        return get_hierarchy(config.dataset)
    tree = (_built(config).info.metadata or {}).get("hierarchy")
    if not isinstance(tree, dict):
        raise InputError(
            f"dataset {config.dataset} in {config.data_dir} names no hierarchy; "
            "set config.hierarchy to the file of its classes"
        )
    return hierarchy_from_json(tree)


def num_photos(config: Config, split: str) -> int:
    """How many photos a split holds."""
    return len(open_split(config, split))


class TrainingStream(contextlib.AbstractContextManager):
    """Iterates over training batches for ever; close it, or use it in a `with` statement.

    A batch is {"image": uint8 [b, h, w, 3] RGB, "label": uint8 [b, h, w] leaf ids or 255,
    "id": str [b]}, this process's part of the global batch.
    """

    def __init__(self, batches: grain.DatasetIterator):
        self._batches: grain.DatasetIterator | None = batches

    def __iter__(self):
        return self

    def __next__(self) -> dict[str, np.ndarray]:
        # A worker's arrays lie in shared memory, which containers give little of: copied out, they
        # free it at once.
        return {key: np.array(value) for key, value in next(self._batches).items()}

    def close(self) -> None:
        """Ends the workers. Closing twice does nothing."""
        if self._batches is not None:
            self._batches.close()
            self._batches = None

    def __exit__(self, *exception) -> None:
        self.close()


def training_stream(
    config: Config,
    hierarchy: Hierarchy,
    start_step: int = 0,
    process_index: int = 0,
    process_count: int = 1,
) -> TrainingStream:
    """The augmented training batches from step `start_step` on.

    Process p of P gets the photos p, p + P, p + 2 P, ... of every global batch. With
    `config.workers` > 0 absl flags must be parsed (grain hands them to its workers), and a script
    needs the guard `if __name__ == "__main__"` (the workers import it again).

    Raises InputError when the dataset is not built, or when the batch does not divide; iterating
    raises it for a record that cannot be decoded or has labels outside the hierarchy.
    """
    if config.batch_size % process_count:
        raise InputError(
            f"config.batch_size={config.batch_size}: must be divisible by the "
            f"{process_count} processes"
        )
    example = functools.partial(
        _training_example,
        hierarchy=hierarchy,
        crop=tuple(config.crop),
        scale=tuple(config.scale),
        mean=tuple(config.mean),
        flip=config.flip,
    )
    photos = grain.MapDataset.source(open_split(config, config.train_split)).seed(config.seed)
    examples = photos.shuffle().repeat().random_map(example)
    mine = examples[process_index::process_count]
    batches = mine.batch(config.batch_size // process_count, drop_remainder=True)[start_step:]
    batches = batches.to_iter_dataset(_WORKER_READ if config.workers else _THREADED_READ)
    workers = grain.MultiprocessingOptions(num_workers=config.workers)
    return TrainingStream(iter(batches.mp_prefetch(workers, worker_init_fn=_start_worker)))


def evaluation_photos(
    config: Config,
    hierarchy: Hierarchy,
    split: str,
    process_index: int = 0,
    process_count: int = 1,
) -> Iterator[tuple[str, UInt8[np.ndarray, "_ _ 3"], UInt8[np.ndarray, "_ _"]]]:
    """(id, image, leaf labels) of the photos p, p + P, ... of a split for process p of P, once.

    At original size. Raises InputError when the dataset or split is not there, when a record cannot
    be decoded, and when its labels are outside the hierarchy.
    """
    photos = grain.MapDataset.source(open_split(config, split))[process_index::process_count]
    decoded = photos.map(functools.partial(decode, hierarchy=hierarchy))
    items = iter(decoded.to_iter_dataset(_THREADED_READ))
    with contextlib.closing(items):
        yield from items


def evaluation_batches(
    config: Config,
    hierarchy: Hierarchy,
    split: str,
    batch_size: int,
    process_index: int = 0,
    process_count: int = 1,
) -> Iterator[CanvasBatch]:
    """The photos of `evaluation_photos` in batches of one canvas size each."""
    photos = evaluation_photos(config, hierarchy, split, process_index, process_count)
    with contextlib.closing(photos):
        yield from group_by_canvas(photos, batch_size, config.mean)


def _start_worker(index: int, count: int) -> None:
    cv2.setNumThreads(1)  # the workers themselves fill the cores
    # A signal often reaches the whole process group. What it means is the parent's to decide: it
    # may want to finish its step. It ends the workers, and without it they must not live on.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(0)


def _training_example(
    record: dict,
    rng: np.random.Generator,
    hierarchy: Hierarchy,
    crop: tuple[int, int],
    scale: tuple[float, float],
    mean: tuple[float, float, float],
    flip: bool,
) -> dict[str, np.ndarray | str]:
    photo_id, image, labels = decode(record, hierarchy)
    image, labels = random_scale_crop(image, labels, rng, crop, scale, mean)
    if flip and rng.random() < 0.5:
        image, labels = flip_image(image), flip_labels(labels, hierarchy)
    return {"image": image, "label": labels, "id": photo_id}


def decode(
    record: dict, hierarchy: Hierarchy
) -> tuple[str, UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w"]]:
    """(id, image RGB, leaf labels) of a record of `open_split`; InputError names a broken one."""
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
