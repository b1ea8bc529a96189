"""hparse_jax: human parsing in JAX. Every pixel of a photograph of people gets a label."""

import importlib

from hparse_jax._xla import set_xla_flags
from hparse_jax.hierarchy import Hierarchy, get_hierarchy

set_xla_flags()

__version__ = "0.1.0"
__all__ = ["Hierarchy", "__version__", "get_hierarchy", "load_parser"]


def __getattr__(name):
    """`hparse_jax.models`, `.losses`, `.metrics`: imported when first used."""
    if name in ("losses", "metrics", "models"):
        return importlib.import_module(f"hparse_jax.{name}")
    raise AttributeError(f"module 'hparse_jax' has no attribute {name!r}")


def load_parser(workdir_or_file=None, step=None, scales=None, flip=False, **options):
    """A trained parser: `parser(image)` labels every pixel; see `inference.predictor`.

    Without a workdir the one that comes with the package.
    """
    from hparse_jax.inference import predictor  # here: importing the package stays quick

    return predictor.load_parser(workdir_or_file, step, scales=scales, flip=flip, **options)
