"""The command line within the test's own process, which spares every call the imports."""

import contextlib
import io
import os
import subprocess
import sys
from unittest import mock

from absl import flags

import hparse_jax.training.train  # noqa: F401, its libraries define flags of their own, once
from hparse_jax.__main__ import main


def hparse(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess:
    """`hparse ARGUMENTS`: exit code, stdout and stderr.

    Its flags and what it set in the environment are forgotten afterwards.

    stdout is text; bytes that are not come back by `.encode(errors="surrogateescape")`.
    """
    before = set(flags.FLAGS)
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8", newline=""), io.StringIO()
    try:
        with (
            mock.patch.dict(os.environ),
            mock.patch.object(sys, "argv", ["hparse", *arguments]),
            mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin))),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            code = main()
    finally:
        for name in set(flags.FLAGS) - before:
            delattr(flags.FLAGS, name)
    out.flush()
    text = out.buffer.getvalue().decode(errors="surrogateescape")
    return subprocess.CompletedProcess(arguments, code, text, err.getvalue())
