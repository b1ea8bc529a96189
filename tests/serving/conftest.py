"""A service around the network with known answers, which compiles in moments."""

import contextlib
import io
import threading

import httpx
import numpy as np
import pytest
from inference.conftest import (  # noqa: F401, fixtures
    HIERARCHY,
    Pixels,
    config,
    people,
    variables,
)
from PIL import Image

from hparse_jax.data.buckets import few_buckets
from hparse_jax.inference.predictor import Predictor
from hparse_jax.serving.app import Limits, make_app
from hparse_jax.serving.metrics import Metrics
from hparse_jax.serving.run import listen, make_server
from hparse_jax.serving.worker import Worker


def encoded(image: np.ndarray, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind)
    return buffer.getvalue()


@pytest.fixture
def make_parser(config, variables):  # noqa: F811
    """Networks are equal: what is compiled for one test serves the others."""

    def make(network=None, **options):
        options = {"buckets_of": few_buckets, **options}
        return Predictor(network or Pixels(), variables, config, HIERARCHY, step=7, **options)

    return make


@pytest.fixture
def predictor(make_parser):
    """Of three pairs of buckets."""
    return make_parser(side=64, max_side=200)


@pytest.fixture
def make_worker(predictor):
    """make(): a worker that runs, its metrics and what it announces; stopped at the end."""
    with contextlib.ExitStack() as stack:

        def make(max_pixels=100_000, jobs=(), parser=predictor):
            metrics, lines = Metrics(), []
            worker = Worker(parser, max_pixels, metrics, lines.append, lambda: None)
            for job in jobs:  # they wait until the programs are compiled
                worker.submit(job)
            worker.start()
            stack.callback(worker.stop)
            assert worker.ready.wait(60)
            return worker, metrics, lines

        yield make


@pytest.fixture
def make_client(predictor, make_worker):
    """make(ready=True, token=None, **limits): a client of a service at a socket of its own."""
    with contextlib.ExitStack() as stack:

        def make(ready=True, token=None, **limits):
            limits = Limits(**{"bytes": 50_000, "pixels": 40_000, "photographs": 4} | limits)
            worker, metrics, _ = make_worker(limits.pixels)
            if not ready:
                worker.ready.clear()
            server = make_server(make_app(predictor, worker, metrics, limits, token), limits)
            listener = listen("127.0.0.1", 0)
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
            thread.start()
            stack.callback(thread.join)
            stack.callback(setattr, server, "should_exit", True)
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            return stack.enter_context(httpx.Client(base_url=url, timeout=60))

        yield make
