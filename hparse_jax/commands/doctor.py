"""Looks at this machine: devices, versions, precision, free room, speed of the training stream."""

import os
import textwrap
import time
from collections.abc import Callable, Iterator

from absl import flags

from hparse_jax import doctor, known_network
from hparse_jax.config import Config
from hparse_jax.errors import InputError, UsageError
from hparse_jax.selfcheck import check_compiler

_ROOM = 1e9  # bytes; a checkpoint of the paper's network and its optimizer takes half of it
_STREAM = Config(dataset="synthetic", crop=(193, 193), batch_size=8)


def define_flags() -> None:
    flags.DEFINE_string("workdir", ".", "A folder for runs, whose free room is looked at.")
    flags.DEFINE_string("data_dir", "data", "A folder for datasets, likewise.")


def main(argv: list[str]) -> None:
    """`hparse doctor [--workdir=DIR] [--data_dir=DIR]`

    Takes some seconds and writes into the folder for temporary files alone. Exits with 1 and a line
    on stderr when something is wrong.
    """
    if argv:
        raise UsageError(f"no arguments but flags, not {' '.join(argv)}")
    values, problems = flags.FLAGS, []
    folders = {"workdir": values.workdir, "data": values.data_dir}
    if cache := os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        folders["cache"] = cache
    checks: dict[str, Callable[[], Iterator[str]]] = {
        "versions": _versions,
        "devices": doctor.devices,
        "compiler": _compiler,
        "precision": _precision,
        **{f"free in {name}": lambda folder=x: _free(folder) for name, x in folders.items()},
        "stream": _stream,
    }
    width = max(map(len, checks)) + 2
    for name, check in checks.items():
        try:
            text = "; ".join(check())
        except (InputError, OSError) as error:
            text = f"WRONG: {error}"
            problems.append(str(error))
        indent = " " * width
        print(
            textwrap.fill(f"{name:{width}}{text}", 100, subsequent_indent=indent),
            flush=True,
        )
        if problems and name == "devices":
            break  # nothing can be computed
    if problems:
        raise InputError("; ".join(problems))
    print("all is well")


def _versions() -> Iterator[str]:
    yield ", ".join(f"{name} {version}" for name, version in doctor.versions().items())


def _compiler() -> Iterator[str]:
    check_compiler()
    yield "the sum that jaxlib 0.10 got wrong on CPUs comes out right"


def _precision() -> Iterator[str]:
    for dtype in known_network.LIMITS:
        error, limit = known_network.precision(dtype), known_network.limit(dtype)
        if not error <= limit:
            raise InputError(
                f"a known network in {dtype} is off by {error:.1g} of its largest logit, {limit:g} "
                "is the most that rounding explains here; install another version of jaxlib or of "
                "the driver"
            )
        yield f"a known network in {dtype} is off by {error:.1g} of its largest logit"


def _free(folder: str) -> Iterator[str]:
    free = doctor.free_bytes(folder)
    if free < _ROOM:
        raise InputError(
            f"{os.path.abspath(folder)}: {free / 1e6:.0f} MB are free; make room, or give another "
            "folder"
        )
    yield f"{free / 1e9:.1f} GB at {os.path.abspath(folder)}"


def _stream() -> Iterator[str]:
    begin = time.perf_counter()
    speed = doctor.stream_speed(_STREAM)
    height, width = _STREAM.crop
    yield (
        f"{speed:.0f} drawn people a second into crops of {height} x {width}, without workers "
        f"(measured in {time.perf_counter() - begin:.1f} s)"
    )
