"""Listens, and ends when it is told to: what was accepted is finished first."""

import asyncio
import contextlib
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from hparse_jax.errors import InputError
from hparse_jax.inference.predictor import Predictor
from hparse_jax.serving.app import Limits, make_app
from hparse_jax.serving.metrics import Metrics
from hparse_jax.serving.worker import Worker

_HEAD_SECONDS = 10.0  # in which a client must have sent the head of a request
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def listen(host: str, port: int) -> socket.socket:
    """A bound socket; port 0 is any free one. Raises InputError."""
    with contextlib.ExitStack() as after_errors:
        try:
            family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            listener = after_errors.enter_context(socket.socket(family, socket.SOCK_STREAM))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise InputError(
                f"--host={host} --port={port}: cannot listen there ({reason}); give another one"
            ) from error
        after_errors.pop_all()
    return listener


def serve(
    predictor: Predictor,
    listener: socket.socket,
    limits: Limits,
    token: str | None,
    announce: Callable[[str], None],
) -> None:
    """Serves until SIGTERM or SIGINT; a second SIGINT waits for nobody.

    predictor: made with `buckets_of=few_buckets`. announce: called with lines on what is compiled.
    Raises what made compiling impossible.
    """
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # not a line for every bad form
    metrics = Metrics()

    def end() -> None:
        server.should_exit = True

    worker = Worker(predictor, limits.pixels, metrics, announce, end)
    app = make_app(predictor, worker, metrics, limits, token)
    server = make_server(app, limits)
    worker.start()
    try:
        server.run(sockets=[listener])
    finally:
        worker.stop()
    if worker.failure:
        raise worker.failure


def make_server(app: ASGIApp, limits: Limits) -> uvicorn.Server:
    """The server of an application; `run(sockets)` listens until `should_exit` is set."""
    return _Server(
        uvicorn.Config(
            app,
            http=_Protocol,
            loop="asyncio",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="error",  # not a line for every request that is none
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=int(limits.seconds) + 5,
        )
    )


class _Server(uvicorn.Server):
    """uvicorn's, which would end with the signal itself after a shutdown in good order."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield  # signals reach the main thread alone
            return
        before = {number: signal.signal(number, self.handle_exit) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class _Protocol(H11Protocol):
    """uvicorn's, which would wait for the head of a request for ever."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._deadline:
            self._deadline.cancel()

    def _watch(self) -> None:
        """Starts the clock when a head begins and stops it when it is complete."""
        waiting = self.conn.their_state is h11.IDLE
        if waiting and self._deadline is None:
            self._deadline = self.loop.call_later(_HEAD_SECONDS, self.transport.close)
        elif not waiting and self._deadline:
            self._deadline.cancel()
            self._deadline = None
