"""Serves a parser over HTTP, with a page to try it on."""

import os
import re
import sys

from absl import flags

from hparse_jax.commands import inference_flags
from hparse_jax.data.buckets import few_buckets
from hparse_jax.errors import InputError, UsageError
from hparse_jax.inference.predictor import Predictor, load_parser

_LOCAL = ("127.0.0.1", "::1", "localhost")


def define_flags() -> None:
    inference_flags.define_parser_flags()
    flags.adopt_module_key_flags(inference_flags)  # --help lists them
    flags.DEFINE_string("host", "127.0.0.1", "The address to listen at; 0.0.0.0: all of them.")
    flags.DEFINE_integer("port", 8000, "The port to listen at; 0: any free one.")
    flags.DEFINE_string(
        "token",
        None,
        "What clients must send as `Authorization: Bearer TOKEN`. Default: the environment "
        "variable HPARSE_TOKEN, which other users of the machine do not see.",
    )
    flags.DEFINE_integer("max_pixels", 40_000_000, "Pixels of the largest photograph accepted.")
    flags.DEFINE_integer("max_bytes", 16 * 2**20, "Bytes of the largest request accepted.")
    flags.DEFINE_integer("queue", 64, "Photographs accepted at a time; more are told to wait.")
    flags.DEFINE_integer("timeout", 60, "Seconds from the start of a request to its answer.")


def main(argv: list[str]) -> int:
    """`hparse serve [--workdir=RUN|FILE] [--host=127.0.0.1] [--port=8000]`

    Ends on SIGTERM or Ctrl-C, after the photographs that were accepted. See docs/serving.md.
    """
    values = flags.FLAGS
    if argv:
        raise UsageError(f"no arguments but flags, not {' '.join(argv)}")
    inference_flags.check_positive("max_pixels", "max_bytes", "queue", "timeout")
    if not 0 <= values.port <= 65535:
        raise InputError(f"--port={values.port}: give 0..65535")
    token = checked_token(values.token, os.environ.get("HPARSE_TOKEN"))
    scales, side = inference_flags.scales(), inference_flags.side()
    try:
        import hparse_jax.serving.run as serving
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("hparse_jax"):
            raise
        raise InputError(
            f"{error.name} is not installed; pip install 'hparse_jax[serve]'"
        ) from error
    with serving.listen(values.host, values.port) as listener:
        predictor = load_parser(
            inference_flags.workdir(),
            values.step,
            scales=scales,
            flip=values.flip,
            side=side,
            consistent=values.consistent,
            engine=values.engine,
            precision=values.precision,
            buckets_of=few_buckets,
        )
        if not isinstance(predictor, Predictor):
            predictor([])  # an imported backbone, which refuses photographs
        host, port = listener.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        say(f"http://{shown}:{port}")
        if values.engine != "jax":
            say(f"the network runs in {predictor.engine}, {predictor.precision}")
        if host not in _LOCAL and token is None:
            say(f"whoever reaches {shown} can use it; --token=... keeps others out")
        limits = serving.Limits(
            bytes=values.max_bytes,
            pixels=values.max_pixels,
            seconds=values.timeout,
            photographs=values.queue,
        )
        serving.serve(predictor, listener, limits, token, say)
    return 0


def checked_token(flag: str | None, variable: str | None) -> str | None:
    """The token, of the flag or else of the environment. Raises InputError."""
    token = variable if flag is None else flag
    source = "HPARSE_TOKEN" if flag is None else "--token"
    if token is not None and not re.fullmatch(r"[A-Za-z0-9._~+/-]+=*", token):
        raise InputError(
            f"{source}: a token is made of letters, digits and . _ ~ + / - and is not empty"
        )
    return token


def say(line: str) -> None:
    """At once, since the reader is often a log."""
    print(f"hparse serve: {line}", file=sys.stderr, flush=True)
