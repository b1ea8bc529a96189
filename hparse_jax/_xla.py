"""What must be set before jax starts: a flag of its CPU backend, and the cache of programs."""

import contextlib
import hashlib
import os
import pathlib
import platform

import filelock
import jaxlib
import platformdirs

_FLAG = "--xla_cpu_experimental_ynn_fusion_type="
_CACHE_BYTES = 2 * 2**30


def set_xla_flags() -> None:
    """Switches off the YNN fusions of jaxlib 0.10 on a CPU, which return wrong numbers.

    The known case is `vmap(lambda r: sum((eye(3) @ r) ** 2))` over 32,769 rows: jaxlib 0.10.2 gets
    the last row wrong, by 0.8 % or far more; 0.11.0, 0.11.2 and 0.12.0.1 get it right. A later
    version may drop the flag, and an unknown flag ends the process: only 0.10 gets it, although
    0.12.0.1 runs a little faster with it (CNIF with ResNet-18 of half width: a training step takes
    10 % less CPU time, inference 4 %). A value that the user gave in XLA_FLAGS stands.
    No effect once jax has started a backend.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if jaxlib.__version__.startswith("0.10.") and _FLAG not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {_FLAG}".strip()


def set_compile_cache() -> None:
    """Keeps compiled programs in the user's cache folder, so that the next call starts at once.

    Environment variables of jax that the user has set stand: JAX_COMPILATION_CACHE_DIR is another
    folder, JAX_ENABLE_COMPILATION_CACHE=false switches the cache off. At most 2 GiB are kept, the
    programs used last. No effect once jax is imported, or where the folder cannot be made or
    written to.
    """
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    # Programs are native code: machines with other processors may share a home.
    folder = (
        platformdirs.user_cache_path("hparse_jax", appauthor=False) / f"compiled-{_processor()}"
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    if not os.access(folder, os.W_OK):  # jax would warn at every program
        return
    _drop_unfinished(folder)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)
    os.environ.setdefault("JAX_COMPILATION_CACHE_MAX_SIZE", str(_CACHE_BYTES))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")


def _drop_unfinished(folder: pathlib.Path) -> None:
    """Deletes what a process left that was killed while it wrote an entry of the cache.

    jax writes the entry, then a file with the time of its last use. One entry without that file,
    and jax warns whenever it compiles and adds no entry any more. Under jax's own lock, so that
    no other process is writing; when one is, or the folder is read-only, the next call does it.
    """
    with contextlib.suppress(OSError), filelock.FileLock(folder / ".lockfile", timeout=0):
        for entry in folder.glob("*-cache"):
            if not entry.with_name(entry.name.removesuffix("-cache") + "-atime").exists():
                entry.unlink()


def _processor() -> str:
    """Eight digits that differ between kinds of processors."""
    kind = f"{platform.machine()} {platform.processor()}"
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = cpuinfo.read_text().split("\n\n")[0].splitlines()
        kind += "".join(x for x in lines if x.startswith(("model name", "flags", "Features")))
    return hashlib.sha256(kind.encode()).hexdigest()[:8]
