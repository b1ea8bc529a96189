"""The verb `import-weights`: a published file of weights -> a workdir."""

import jax
import numpy as np
from absl import flags

from hparse_jax.errors import InputError, UsageError
from hparse_jax.hierarchy import get_hierarchy
from hparse_jax.interop.formats import FORMATS, convert
from hparse_jax.interop.torch_file import read_weights
from hparse_jax.models import build_model
from hparse_jax.training.checkpoint import save_variables
from hparse_jax.training.state import initial_variables


def define_flags() -> None:
    """The flags of `hparse import-weights`."""
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
    import_weights(argv[0], flags.FLAGS.format, flags.FLAGS.workdir, flags.FLAGS.depth)


def import_weights(file: str, name: str, workdir: str, depth: int | None = None) -> None:
    """Reads a file and writes the workdir. Raises InputError; then nothing is written."""
    form = FORMATS[name]
    depth = form.depths[0] if depth is None else depth
    if depth not in form.depths:
        known = ", ".join(map(str, form.depths))
        raise InputError(f"--depth={depth}: format {name} has depths {known}")
    weights = read_weights(file)
    config = form.config(depth)
    hierarchy = config.model.hierarchy_of(get_hierarchy(config.dataset))
    model = build_model(config.model, hierarchy)
    wanted, structure = jax.tree_util.tree_flatten_with_path(
        jax.eval_shape(lambda: initial_variables(model, 0))
    )
    paths = ["/".join(key.key for key in path) for path, _ in wanted]
    shapes = {path: x.shape for path, (_, x) in zip(paths, wanted, strict=True)}
    try:
        made = convert(weights, form, shapes)
    except InputError as error:
        raise InputError(f"{file}: {error}; is it of format {name}, depth {depth}?") from error
    variables = jax.tree_util.tree_unflatten(structure, [made[path] for path in paths])
    save_variables(workdir, config, hierarchy, variables)
    numbers = sum(np.size(x) for x in made.values())
    print(f"{workdir}: {len(made)} arrays, {numbers:,} numbers of {file} ({name})")
