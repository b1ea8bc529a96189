"""hparse_jax: human parsing in JAX. Every pixel of a photograph of people gets a label."""

from hparse_jax._xla import set_xla_flags
from hparse_jax.hierarchy import Hierarchy, get_hierarchy

set_xla_flags()

__version__ = "0.1.0"
__all__ = ["Hierarchy", "__version__", "get_hierarchy"]
