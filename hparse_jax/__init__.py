"""hparse_jax: human parsing in JAX. Every pixel of a photograph of people gets a label."""

import importlib
import typing

from hparse_jax._xla import set_xla_flags
from hparse_jax.hierarchy import Hierarchy, get_hierarchy

set_xla_flags()

__version__ = "0.1.0"
__all__ = ["Hierarchy", "__version__", "get_hierarchy", "load_parser"]


if typing.TYPE_CHECKING:
    from hparse_jax import losses as losses
    from hparse_jax import metrics as metrics
    from hparse_jax import models as models
    from hparse_jax.inference.predictor import load_parser
else:

    def __getattr__(name):
        """The same, imported when first used: importing the package stays quick."""
        if name in ("losses", "metrics", "models"):
            return importlib.import_module(f"hparse_jax.{name}")
        if name == "load_parser":
            return importlib.import_module("hparse_jax.inference.predictor").load_parser
        raise AttributeError(f"module 'hparse_jax' has no attribute {name!r}")
