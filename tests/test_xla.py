"""What is set before jax starts (see hparse_jax/_xla.py)."""

import os
import pathlib
import subprocess
import sys
from unittest import mock

import pytest

from hparse_jax import _xla

SQUARED_LENGTHS = """
import hparse_jax
import jax, jax.numpy as jnp, numpy as np
rows = np.random.default_rng(0).standard_normal((32769, 3)).astype(np.float32)
got = jax.jit(jax.vmap(lambda row: jnp.sum((jnp.eye(3) @ row) ** 2)))(rows)
np.testing.assert_allclose(got, np.square(rows.astype(np.float64)).sum(1), rtol=1e-6)
"""


def test_the_known_wrong_result_does_not_occur_with_the_jaxlib_that_is_installed():
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    environment["JAX_ENABLE_COMPILATION_CACHE"] = "false"  # what is compiled now, not before
    root = pathlib.Path(__file__).parents[1]
    subprocess.run([sys.executable, "-c", SQUARED_LENGTHS], cwd=root, env=environment, check=True)


@pytest.mark.parametrize(
    ("version", "before", "after"),
    [
        ("0.10.2", "", "--xla_cpu_experimental_ynn_fusion_type="),
        ("0.10.2", "--a=1", "--a=1 --xla_cpu_experimental_ynn_fusion_type="),
        (
            "0.10.2",
            "--xla_cpu_experimental_ynn_fusion_type=LIBRARY_FUSION_TYPE_REDUCE",
            "--xla_cpu_experimental_ynn_fusion_type=LIBRARY_FUSION_TYPE_REDUCE",
        ),
        ("0.11.2", "", ""),
        ("0.12.0.1", "--a=1", "--a=1"),
        ("0.9.2", "", ""),
    ],
)
def test_only_jaxlib_0_10_gets_the_flag_and_the_users_value_stands(
    monkeypatch, version, before, after
):
    monkeypatch.setattr(_xla.jaxlib, "__version__", version)
    monkeypatch.setenv("XLA_FLAGS", before)
    _xla.set_xla_flags()
    assert os.environ["XLA_FLAGS"] == after


def test_a_killed_process_leaves_no_entry_that_stops_the_cache(tmp_path, monkeypatch):
    """jax warns and stores nothing while an entry lacks the file with the time of its use."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
    environment = {k: v for k, v in os.environ.items() if "COMPILATION_CACHE" not in k}
    with mock.patch.dict(os.environ, environment, clear=True):
        _xla.set_compile_cache()
        cache = pathlib.Path(os.environ["JAX_COMPILATION_CACHE_DIR"])
        (cache / "half-cache").write_bytes(b"a")
        (cache / "whole-cache").write_bytes(b"b")
        (cache / "whole-atime").write_bytes(bytes(8))
        del os.environ["JAX_COMPILATION_CACHE_DIR"]
        _xla.set_compile_cache()
        code = "import jax; print(jax.jit(lambda x: x + 1)(2))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("3\n", "")
    assert (cache / "whole-cache").exists()
    assert not (cache / "half-cache").exists()
    assert len(list(cache.glob("jit_*-cache"))) == 1
