"""One XLA setting that must be made before jax starts its CPU backend."""

import importlib.metadata
import os

_FLAG = "--xla_cpu_experimental_ynn_fusion_type="


def set_xla_flags() -> None:
    """Switches off the YNN fusions of jaxlib 0.10 on a CPU, which return wrong numbers.

    The known case is `vmap(lambda r: sum((eye(3) @ r) ** 2))` over 32,769 rows: jaxlib 0.10.2 gets
    the last row wrong, by 0.8 % or far more. jaxlib 0.11.0, 0.11.2 and 0.12.0.1 get it right, with
    and without the flag. They still know the flag and run a little faster with it (0.12.0.1, CNIF
    with ResNet-18 of half width: a training step takes 10 % less CPU time, inference 4 %), but an
    unknown flag ends the process, and a later version may drop it: only 0.10 needs it and gets it.
    A value that the user gave in XLA_FLAGS stands. No effect once jax has started a backend.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    try:
        version = importlib.metadata.version("jaxlib")
    except importlib.metadata.PackageNotFoundError:
        return
    if version.startswith("0.10.") and _FLAG not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {_FLAG}".strip()
