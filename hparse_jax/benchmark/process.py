"""A case in a process of its own, which makes a call whenever it is told to.

So its peak memory is its own, and the calls of several cases can take turns.
"""

import contextlib
import multiprocessing
import multiprocessing.connection
import signal
import time
from collections.abc import Callable

import jax

from hparse_jax.benchmark.cases import Case
from hparse_jax.benchmark.hardware import hardware, peak_memory
from hparse_jax.errors import InputError


class CaseProcess(contextlib.AbstractContextManager):
    """Starts the process and waits until the case is ready; leaving the `with` block ends it.

    prepare: returns the case; it is called in the process, so it must be picklable. images,
    conditions: of the case. hardware: as the function of this name says.

    Raises InputError when the case raises one, and when it runs out of memory.
    """

    def __init__(self, name: str, prepare: Callable[[], Case]):
        context = multiprocessing.get_context("spawn")  # threads of jax do not survive a fork
        self._name = name
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, prepare))
        self._process.start()
        theirs.close()
        try:
            self.images, self.conditions, self.hardware = self._answer()
        except BaseException:
            self.__exit__()
            raise

    def time(self) -> float:
        """Makes one call; its seconds."""
        self._connection.send("call")
        return self._answer()

    def finish(self) -> dict:
        """Ends the process; its peak memory, as `peak_memory` says."""
        self._connection.send("end")
        memory = self._answer()
        self._process.join()
        return memory

    def __exit__(self, *exception) -> None:
        self._process.terminate()
        self._process.join()
        self._connection.close()

    def _answer(self):
        try:
            answer = self._connection.recv()
        except EOFError:
            self._process.join()
            code = self._process.exitcode
            if code > 0:
                raise RuntimeError(f"case {self._name}: its traceback is above") from None
            # the system ends a process that takes all memory
            raise InputError(
                f"case {self._name}: its process was ended by signal {-code}, as happens when "
                "memory runs out; try a smaller --batch or --size"
            ) from None
        if isinstance(answer, InputError):
            raise answer
        return answer


def _work(connection: multiprocessing.connection.Connection, prepare: Callable[[], Case]) -> None:
    """What the process does: prepares the case, then answers until the other side ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches both; the parent ends this one
    with contextlib.suppress(EOFError, BrokenPipeError):  # the parent is gone
        try:
            case = prepare()
            connection.send((case.images, case.conditions, hardware()))
            while connection.recv() == "call":
                connection.send(seconds_of(case))
            connection.send(peak_memory())
        except InputError as error:
            connection.send(error)
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            connection.send(InputError("out of memory; try a smaller --batch or --size"))


def seconds_of(case: Case, clock: Callable[[], float] = time.perf_counter) -> float:
    """The seconds of one call, until its results are there; clock: gives the time in seconds."""
    with case.turn() as call:
        begin = clock()
        jax.block_until_ready(call())
        return clock() - begin
