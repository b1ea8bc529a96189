"""Settings of every test; child processes inherit them through the environment.

hparse_jax itself is not imported here: its shape checks are installed after this file is read.
"""

import os
import pathlib

import pytest
from absl import flags
from ccp_folder import write_raw

# Tests compare bits and tiny numbers: they run on the CPU wherever they are started.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Native code that is not optimised compiles in little more than half of the time.
os.environ["XLA_FLAGS"] = (
    f"{os.environ.get('XLA_FLAGS', '')} --xla_backend_optimization_level=0".strip()
)
# Compiling is most of the suite's time, and the programs change seldom.
_CACHE = pathlib.Path(__file__).parents[1] / ".jax_cache"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(_CACHE))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

flags.FLAGS.mark_as_parsed()  # grain's worker processes ask for parsed flags


def pytest_configure(config):
    """Leaves the slow tests to `make test-slow`; a broken entry of the compile cache is no error.

    jax writes entries in place, so a test that was killed can leave half of one; it then warns and
    compiles anew.
    """
    if not config.option.markexpr:
        config.option.markexpr = "not slow"
    config.addinivalue_line(
        "filterwarnings", "ignore:Error (reading|writing) persistent compilation cache:UserWarning"
    )


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """A data_dir with seven tiny photos, built as fashion_clothing."""
    # Imported here: pytest reads this file before it installs the shape checks.
    from hparse_jax.data.build import build

    folder = tmp_path_factory.mktemp("built")
    build("fashion_clothing", folder / "data", write_raw(folder / "clothing-co-parsing"))
    return folder / "data"
