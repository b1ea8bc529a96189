"""The verb `import-weights`: a published file of weights -> a workdir."""

import jax
import numpy as np

from hparse_jax.checkpoint import save_variables
from hparse_jax.errors import InputError
from hparse_jax.hierarchy import get_hierarchy
from hparse_jax.interop.formats import FORMATS, convert
from hparse_jax.interop.torch_file import read_weights
from hparse_jax.models import build_model
from hparse_jax.training.step import initial_variables


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
