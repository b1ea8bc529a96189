"""The worker: what it compiles, how it batches, and that no job stops it."""

import re

import numpy as np
import pytest
from inference.conftest import Pixels, Traces
from serving.conftest import encoded

from hparse_jax.errors import InputError
from hparse_jax.serving.worker import Job, sizes_to_compile


def labels_of(result):
    return result.labels.tobytes()


def batch_sizes(metrics):
    """(batches, photographs)"""
    text = metrics.text().decode()
    return tuple(
        float(re.search(rf"hparse_batch_size_{k} (\S+)", text)[1]) for k in ("count", "sum")
    )


@pytest.mark.parametrize(
    "options", [{}, {"side": 300}, {"side": 0}, {"max_side": 700}, {"side": 2000}]
)
def test_every_photographs_buckets_are_among_those_compiled(make_parser, options):
    predictor = make_parser(**options)
    sizes = sizes_to_compile(predictor)
    compiled = {predictor.buckets(*size) for size in sizes}
    assert len(sizes) == len(compiled) <= 30
    rng = np.random.default_rng(0)
    for size in np.exp(rng.uniform(0, np.log(20_000), (500, 2))).astype(int).tolist():
        assert predictor.buckets(*size) in compiled


def test_no_photograph_compiles_anything(make_worker, make_parser, people):
    traces = Traces()
    worker, _, _ = make_worker(parser=make_parser(Pixels((traces,)), side=64, max_side=200))
    before = len(traces.seen)
    rng = np.random.default_rng(0)
    jobs = [
        Job(encoded(people(*rng.integers(8, 300, 2))), bool(i % 2), labels_of) for i in range(20)
    ]
    for job in jobs:
        worker.submit(job)
    assert all(job.done.result(60) for job in jobs)
    assert len(traces.seen) == before > 0


def test_photographs_that_wait_together_are_one_batch(make_worker, predictor, people):
    predictor.batch_size = 4
    photos = [people(60 + i, 60) for i in range(8)]
    jobs = [
        Job(encoded(photo), consistent=i > 5, answer=labels_of) for i, photo in enumerate(photos)
    ]
    _, metrics, _ = make_worker(jobs=jobs)
    expected = predictor(photos[:6]) + predictor.consistently(True)(photos[6:])
    for job, result in zip(jobs, expected, strict=True):
        assert job.done.result(60) == result.labels.tobytes()
    assert batch_sizes(metrics) == (3, 8)  # 4, 2, and the 2 consistent ones


def test_a_cancelled_job_is_passed_over(make_worker, people):
    cancelled, other = (Job(encoded(people(60, 50)), False, labels_of) for _ in range(2))
    cancelled.done.cancel()
    _, metrics, _ = make_worker(jobs=[cancelled, other])
    assert other.done.result(60)
    assert batch_sizes(metrics) == (1, 1)


def test_a_job_that_fails_leaves_the_others_alone(make_worker, people):
    def fail(result):
        raise RuntimeError("no room")

    photo = encoded(people(60, 50))
    broken, failing = Job(b"no photo", False, labels_of), Job(photo, False, fail)
    good = Job(photo, False, labels_of)
    make_worker(jobs=[broken, failing, good])
    assert good.done.result(60)
    with pytest.raises(InputError, match="photo: not a readable photograph"):
        broken.done.result(60)
    with pytest.raises(RuntimeError, match="no room"):
        failing.done.result(60)


def test_a_batch_that_fails_is_told_to_its_clients_and_the_next_one_is_parsed(
    make_worker, predictor, people, monkeypatch, caplog
):
    worker, _, _ = make_worker()
    photo, batches = encoded(people(60, 50)), type(predictor).batches

    def fail(self, photos):
        raise MemoryError("the device is full")

    monkeypatch.setattr(type(predictor), "batches", fail)
    lost = Job(photo, False, labels_of)
    worker.submit(lost)
    with pytest.raises(MemoryError):
        lost.done.result(60)
    monkeypatch.setattr(type(predictor), "batches", batches)
    kept = Job(photo, False, labels_of)
    worker.submit(kept)
    assert kept.done.result(60)
    assert "the device is full" in caplog.text


def test_stop_waits_for_what_was_submitted(make_worker, people):
    worker, _, lines = make_worker()
    jobs = [Job(encoded(people(60, 50)), False, labels_of) for _ in range(6)]
    for job in jobs:
        worker.submit(job)
    worker.stop()
    assert all(job.done.done() for job in jobs)
    assert lines[-1] == "ready"
