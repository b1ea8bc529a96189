"""A case in a process of its own, which makes a call whenever it is told to.

So its peak memory is its own, and the calls of several cases can take turns.
"""

import contextlib
import multiprocessing
import multiprocessing.connection
import signal
import time
from collections.abc import Callable, Iterator

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
            self.images, self.conditions, self.hardware = self._ask()
        except BaseException:
            self.__exit__()
            raise

    def time(self) -> float:
        """Makes one call; its seconds."""
        return self._ask("call")

    def finish(self) -> dict:
        """Ends the process; its peak memory, as `peak_memory` says."""
        memory = self._ask("end")
        self._process.join()
        return memory

    def __exit__(self, *exception) -> None:
        self._process.terminate()
        self._process.join()
        self._connection.close()

    def _ask(self, question: str | None = None):
        """The answer to a question, or the first one, which needs none."""
        try:
            if question is not None:
                self._connection.send(question)
            answer = self._connection.recv()
        except (EOFError, ConnectionError):  # it ended, now or while another case had its turn
            self._process.join()
            code = self._process.exitcode
            if code >= 0:
                raise RuntimeError(f"case {self._name}: its traceback is above") from None
            # the system ends a process that takes all memory
            raise InputError(
                f"case {self._name}: its process was ended by signal {-code}, as happens when "
                "memory runs out; try a smaller --batch or --size"
            ) from None
        if isinstance(answer, InputError | OSError):
            raise answer
        return answer


def _work(connection: multiprocessing.connection.Connection, prepare: Callable[[], Case]) -> None:
    """What the process does: prepares the case, then answers until the other side ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches both; the parent ends this one
    with contextlib.suppress(ConnectionError):  # the parent is gone
        for answer in _answers(connection, prepare):
            connection.send(answer)


def _answers(
    connection: multiprocessing.connection.Connection, prepare: Callable[[], Case]
) -> Iterator[object]:
    """What the case is, then the seconds of each call, then its memory; or the error that ended
    it."""
    try:
        case = prepare()
        yield case.images, case.conditions, hardware()
        while _question(connection) == "call":
            yield seconds_of(case)
        yield peak_memory()
    except (InputError, OSError) as error:
        yield error
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        yield InputError("out of memory; try a smaller --batch or --size")


def _question(connection: multiprocessing.connection.Connection) -> str:
    try:
        return connection.recv()
    except (EOFError, ConnectionError):
        return "end"


def seconds_of(case: Case, clock: Callable[[], float] = time.perf_counter) -> float:
    """The seconds of one call, until its results are there; clock: gives the time in seconds."""
    with case.turn() as call:
        begin = clock()
        jax.block_until_ready(call())
        return clock() - begin
