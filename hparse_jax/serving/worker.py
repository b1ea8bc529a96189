"""One thread owns the parser; photographs that wait together are parsed as one batch a bucket."""

import contextlib
import dataclasses
import logging
import math
import os
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, InvalidStateError, ThreadPoolExecutor

import numpy as np
from jaxtyping import UInt8

from hparse_jax.errors import InputError
from hparse_jax.inference.photos import decode_photo
from hparse_jax.inference.predictor import MAX_SIDE, Predictor
from hparse_jax.inference.result import Result
from hparse_jax.serving.metrics import Metrics
from hparse_jax.storage import read_ahead

_THREADS = min(4, os.cpu_count() or 1)  # that decode photographs and encode answers
_AHEAD = 2 * _THREADS  # photographs decoded, and answers encoded, in advance: bounds the memory


@dataclasses.dataclass(frozen=True)
class Job:
    """A photograph, as the bytes of its file, to be parsed and answered.

    answer: what is made of the result, in one of the worker's threads. done: will hold it, or an
    InputError. A cancelled job is passed over.
    """

    photo: bytes
    consistent: bool
    answer: Callable[[Result], bytes]
    done: Future = dataclasses.field(default_factory=Future)


class Worker:
    """Compiles every program that a photograph can need, then parses what is submitted.

    predictor: made with `buckets_of=few_buckets`. max_pixels: see `decode_photo`. announce: called
    with a line about every program that is compiled, and one at the end. failed: called when
    compiling fails; `failure` then holds the reason.
    """

    def __init__(
        self,
        predictor: Predictor,
        max_pixels: int,
        metrics: Metrics,
        announce: Callable[[str], None],
        failed: Callable[[], None],
    ):
        self._predictors = {flag: predictor.consistently(flag) for flag in (False, True)}
        self._max_pixels, self._metrics = max_pixels, metrics
        self._announce, self._failed = announce, failed
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._pool = ThreadPoolExecutor(_THREADS)
        self._thread = threading.Thread(target=self._work, name="parser")
        self.ready = threading.Event()  # all programs are compiled
        self.failure: Exception | None = None

    def start(self) -> None:
        """Starts compiling."""
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Queues a job; how many may wait is the caller's to bound."""
        self._jobs.put(job)

    def stop(self) -> None:
        """Returns when all jobs are done; compiling is broken off after the program at hand."""
        self._stopping.set()
        self._jobs.put(None)
        self._thread.join()
        self._pool.shutdown()

    def _work(self) -> None:
        try:
            self._warm_up()
        except Exception as error:
            self.failure = error
            self._failed()
            return
        while (job := self._jobs.get()) is not None:
            jobs = [job, *self._waiting()]
            for consistent, predictor in self._predictors.items():
                self._parse(predictor, [job for job in jobs if job.consistent == consistent])

    def _warm_up(self) -> None:
        sizes = sizes_to_compile(self._predictors[False])
        for number, (height, width) in enumerate(sizes, 1):
            if self._stopping.is_set():
                return
            rows, columns = self._predictors[False].buckets(height, width)[1]
            self._announce(f"compiling {number} of {len(sizes)}: up to {columns} x {rows} pixels")
            for predictor in self._predictors.values():
                for _ in predictor.stream([(0, np.zeros((height, width, 3), np.uint8))]):
                    pass
        self.ready.set()
        self._metrics.ready.set(1)
        self._announce("ready")

    def _waiting(self) -> Iterator[Job]:
        """The jobs that are queued by now."""
        for _ in range(self._jobs.qsize()):
            job = self._jobs.get()
            if job is None:
                self._jobs.put(job)
            else:
                yield job

    def _parse(self, predictor: Predictor, jobs: list[Job]) -> None:
        def photographs() -> Iterator[tuple[Job, UInt8[np.ndarray, "_ _ 3"]]]:
            for job, image in zip(
                jobs, read_ahead(self._pool, self._decode, jobs, _AHEAD), strict=True
            ):
                if image is not None:
                    yield job, image

        def results() -> Iterator[tuple[Job, Result]]:
            for batch in predictor.batches(photographs()):
                batch = list(batch)
                self._metrics.batch_sizes.observe(len(batch))
                yield from batch

        try:
            for _ in read_ahead(self._pool, _answer, results(), _AHEAD):
                pass
        except Exception as error:  # e.g. the device is out of memory; the service goes on
            logging.getLogger(__name__).exception("a batch failed")
            for job in jobs:
                with contextlib.suppress(InvalidStateError):  # of those that are done or cancelled
                    job.done.set_exception(error)

    def _decode(self, job: Job) -> UInt8[np.ndarray, "_ _ 3"] | None:
        if not job.done.set_running_or_notify_cancel():
            return None  # nobody waits for it any longer
        try:
            return decode_photo(job.photo, "photo", self._max_pixels)
        except InputError as error:
            job.done.set_exception(error)


def _answer(parsed: tuple[Job, Result]) -> None:
    job, result = parsed
    try:
        job.done.set_result(job.answer(result))
    except Exception as error:
        job.done.set_exception(error)


def sizes_to_compile(predictor: Predictor) -> list[tuple[int, int]]:
    """One size (height, width) of a photograph for every pair of buckets that any can have.

    The pair depends on whether the longer side fits into a bucket, whose sides are 16 k + 1, on
    whether it is large, and on whether the other side is three quarters of it or less.
    """
    sides = [*range(1, MAX_SIDE + 16, 16)]
    if math.isfinite(predictor.large):
        sides += [int(predictor.large), int(predictor.large) + 1]
    found: dict[tuple, tuple[int, int]] = {}
    for side in sorted(sides):
        half = max(1, side // 2)
        for size in ((side, side), (side, half), (half, side)):
            found.setdefault(predictor.buckets(*size), size)
    return list(found.values())
