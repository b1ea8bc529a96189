"""One XLA setting that must stand before jax starts its CPU backend."""

import importlib.metadata
import os

_FLAG = "--xla_cpu_experimental_ynn_fusion_type="


def set_xla_flags() -> None:
    """Switches off the fusions of jaxlib 0.10 on CPU that return wrong numbers.

    jaxlib 0.10.2 gets `vmap(lambda r: sum((eye(3) @ r) ** 2))` wrong in the last of 32,769 rows,
    and runs convolutions of large dilation 2 to 3 times slower. Only 0.10 is known to need and to
    know the flag, and an unknown flag ends the process, so other versions are left alone. A value
    the user gave in XLA_FLAGS stands. No effect once jax has started a backend.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    try:
        version = importlib.metadata.version("jaxlib")
    except importlib.metadata.PackageNotFoundError:
        return
    if version.startswith("0.10.") and _FLAG not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {_FLAG}".strip()
