"""Converts a published file of PyTorch weights into a workdir."""

from absl import flags

from hparse_jax.errors import UsageError
from hparse_jax.interop.formats import FORMATS
from hparse_jax.interop.import_weights import import_weights


def define_flags() -> None:
    flags.DEFINE_enum("format", None, list(FORMATS), "What the file is.", required=True)
    flags.DEFINE_string("workdir", None, "A new folder for the imported weights.", required=True)
    flags.DEFINE_integer("depth", None, "Of a ResNet, where a format has several; default: 101.")


def main(argv: list[str]) -> None:
    """`hparse import-weights --format=F FILE --workdir=DIR`: .pth or .safetensors.

    The workdir of a backbone serves as config.init_from, that of `cnif-official` also for
    `evaluate` and `predict`.
    """
    if len(argv) != 1:
        raise UsageError("give one file of weights")
    values, file = flags.FLAGS, argv[0]
    arrays = import_weights(file, values.format, values.workdir, values.depth)
    numbers = sum(x.size for x in arrays.values())
    print(
        f"{values.workdir}: {len(arrays)} arrays, {numbers:,} numbers of {file} ({values.format})"
    )
