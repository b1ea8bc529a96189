"""The look at the compiler: silent where it is right, one line where it is wrong."""

import os
import pathlib
import subprocess
import sys

import jax
import pytest

from hparse_jax import selfcheck
from hparse_jax.errors import InputError

CHECK = """
from hparse_jax.errors import InputError
from hparse_jax.selfcheck import check_compiler
try:
    check_compiler()
except InputError as error:
    print(error)
"""


def test_the_compiler_that_is_installed_is_right_as_the_package_sets_it():
    selfcheck.check_compiler.cache_clear()
    selfcheck.check_compiler()


@pytest.mark.skipif(not jax.lib.__version__.startswith("0.10."), reason="later ones are right")
def test_the_wrong_fusions_of_jaxlib_0_10_are_found():
    """Switched on again, as a user's XLA_FLAGS could."""
    environment = os.environ | {
        "XLA_FLAGS": "--xla_cpu_experimental_ynn_fusion_type=LIBRARY_FUSION_TYPE_REDUCE",
        "JAX_ENABLE_COMPILATION_CACHE": "false",  # what is compiled now, not before
    }
    root = pathlib.Path(__file__).parents[1]
    command = [sys.executable, "-c", CHECK]
    said = subprocess.run(command, cwd=root, env=environment, check=True, capture_output=True)
    assert b"comes out wrong by" in said.stdout
    assert said.stdout.count(b"\n") == 1


def test_a_wrong_result_stops_with_the_remedy(monkeypatch):
    monkeypatch.setattr(selfcheck, "_squared_lengths", lambda rows: (rows**2).sum(1) * 1.008)
    selfcheck.check_compiler.cache_clear()
    with pytest.raises(InputError, match=r"wrong by 0\.8% on this CPU; set XLA_FLAGS"):
        selfcheck.check_compiler()
