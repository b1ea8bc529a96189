"""The stream of training batches: a pure function of (config, seed, step).

The same global batches come for any number of workers and processes, and a run that resumes at step
n starts with the batch of step n, at once.
"""

import contextlib
import functools
import multiprocessing
import multiprocessing.process
import os
import signal
import threading
from collections.abc import Iterator

import cv2
import grain
import numpy as np

from hparse_jax.config import Config
from hparse_jax.data.dataset import BuiltDataset, decode
from hparse_jax.data.transforms import colour_jitter, flip, random_scale_crop
from hparse_jax.errors import InputError
from hparse_jax.hierarchy import Hierarchy

# Batches of crops are large (7 MB for eight of 473 x 473); grain's own default buffers 500.
_THREADS = 4
_WORKER_READ = grain.ReadOptions(num_threads=1, prefetch_buffer_size=1)
_THREADED_READ = grain.ReadOptions(num_threads=_THREADS, prefetch_buffer_size=_THREADS)


class TrainingStream(contextlib.AbstractContextManager, Iterator):
    """Iterates over training batches without end; close it, or use it in a `with` statement.

    A batch is {"image": uint8 [b, h, w, 3] RGB, "label": uint8 [b, h, w] leaf ids or 255,
    "id": str [b]}, this process's share of the global batch.
    """

    def __init__(self, batches: grain.DatasetIterator):
        self._batches: grain.DatasetIterator | None = batches
        self._workers: list[multiprocessing.process.BaseProcess] = []

    def __next__(self) -> dict[str, np.ndarray]:
        """The next batch. Raises ChildProcessError when a worker has died."""
        try:
            # A worker's arrays are in shared memory, of which containers have little: a copy frees
            # it at once.
            batch = {key: np.array(value) for key, value in next(self._batches).items()}
        except RuntimeError:
            self._check_workers()
            raise
        self._workers = self._workers or _workers_of_grain()
        self._check_workers()  # grain looks when the batches before are used up
        return batch

    def _check_workers(self) -> None:
        for worker in self._workers or _workers_of_grain():
            if worker.exitcode:
                raise ChildProcessError(
                    f"a worker of the training stream has died ({_reason(worker.exitcode)}); the "
                    "same command resumes; config.workers=0 needs no workers, and less memory"
                )

    def close(self) -> None:
        """Ends the workers. Closing twice does nothing."""
        if self._batches is not None:
            self._batches.close()
            self._batches = None

    def __exit__(self, *exception) -> None:
        self.close()


def training_stream(
    dataset: BuiltDataset,
    config: Config,
    hierarchy: Hierarchy,
    start_step: int = 0,
    process_index: int = 0,
    process_count: int = 1,
) -> TrainingStream:
    """The augmented batches of `config.train_split` from step `start_step` on.

    hierarchy: whose leaves the labels are. Process p of P gets the photos p, p + P, p + 2 P, ... of
    every global batch. With `config.workers` > 0 absl flags must be parsed (grain hands them to its
    workers), and a script needs the guard `if __name__ == "__main__"` (the workers import it
    again).

    Raises InputError when the dataset has no such split, or when the batch does not divide;
    iterating raises it for a record that cannot be decoded or has labels outside the hierarchy.
    """
    if config.batch_size % process_count:
        raise InputError(
            f"config.batch_size={config.batch_size}: must be divisible by the "
            f"{process_count} processes"
        )
    example = functools.partial(_training_example, config=config, hierarchy=hierarchy)
    photos = grain.MapDataset.source(dataset.records(config.train_split)).seed(config.seed)
    examples = photos.shuffle().repeat().random_map(example)
    mine = examples[process_index::process_count]
    batches = mine.batch(config.batch_size // process_count, drop_remainder=True)[start_step:]
    batches = batches.to_iter_dataset(_WORKER_READ if config.workers else _THREADED_READ)
    workers = grain.MultiprocessingOptions(num_workers=config.workers)
    return TrainingStream(iter(batches.mp_prefetch(workers, worker_init_fn=_start_worker)))


def _workers_of_grain() -> list[multiprocessing.process.BaseProcess]:
    children = multiprocessing.process.active_children()
    return [child for child in children if child.name.startswith("grain-process-prefetch")]


def _reason(exit_code: int) -> str:
    if exit_code > 0:
        return f"exit code {exit_code}"
    name = signal.Signals(-exit_code).name
    return f"{name}, as when memory is short" if name == "SIGKILL" else name


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
    record: dict, rng: np.random.Generator, config: Config, hierarchy: Hierarchy
) -> dict[str, np.ndarray | str]:
    photo_id, image, labels = decode(record, hierarchy)
    angle = 0.0
    # One coin for both, as the code of CNIF's follow-up tosses it.
    if (any(config.jitter) or config.rotation) and rng.random() < 0.5:
        angle = rng.uniform(-config.rotation, config.rotation)
        if any(config.jitter):
            image = colour_jitter(image, rng, config.jitter)
    image, labels = random_scale_crop(
        image, labels, rng, config.crop, config.scale, config.mean, config.scale_choices, angle
    )
    if config.flip and rng.random() < 0.5:
        image, labels = flip(image, labels, hierarchy)
    return {"image": image, "label": labels, "id": photo_id}
