"""One XLA setting that must be made before jax starts its CPU backend."""

import os

import jaxlib

_FLAG = "--xla_cpu_experimental_ynn_fusion_type="


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
