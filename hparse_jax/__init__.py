"""hparse_jax: human parsing in JAX. Every pixel of a photograph of people gets a label."""

from hparse_jax._xla import set_xla_flags
from hparse_jax.hierarchy import Hierarchy, get_hierarchy

set_xla_flags()

__version__ = "0.1.0"
__all__ = ["Hierarchy", "__version__", "get_hierarchy", "load_parser"]


def load_parser(workdir_or_file, step=None, scales=None, flip=False, **options):
    """A trained parser: `parser(image)` labels every pixel. See `hparse_jax.parsing.parser`."""
    from hparse_jax.parsing import parser  # here: importing the package stays quick

    return parser.load_parser(workdir_or_file, step, scales, flip, **options)
