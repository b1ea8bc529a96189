"""A published file of weights -> a workdir."""

import dataclasses

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from hparse_jax.checkpoint import save_backbone, save_run
from hparse_jax.errors import InputError
from hparse_jax.hierarchy import get_hierarchy
from hparse_jax.interop.formats import FORMATS, convert, has_classifier
from hparse_jax.interop.torch_file import read_weights
from hparse_jax.models.build import build_backbone, build_model, initial_variables, levels_of
from hparse_jax.workdir import BackboneSettings, check_new


def import_weights(
    file: str, name: str, workdir: str, depth: int | None = None
) -> dict[str, np.ndarray]:
    """Reads a file of format `name` and writes the workdir; returns the arrays by their paths.

    depth: of a ResNet, where the format has several; default: its first. Raises InputError; then
    nothing is written.
    """
    if name not in FORMATS:
        raise InputError(f"name={name}: no such format; known are {', '.join(FORMATS)}")
    form = FORMATS[name]
    depth = form.depths[0] if depth is None else depth
    if depth not in form.depths:
        known = ", ".join(map(str, form.depths))
        raise InputError(f"depth={depth}: format {name} has depths {known}")
    check_new(workdir)
    weights = read_weights(file)
    settings = form.settings(depth)
    backbone = isinstance(settings, BackboneSettings)
    if backbone:
        settings = dataclasses.replace(settings, classifier=has_classifier(weights, form))
        model = build_backbone(settings.name, settings.model, settings.classifier)
    else:
        hierarchy = levels_of(settings.model, get_hierarchy(settings.dataset))
        model = build_model(settings.model, hierarchy)
    wanted = flatten_dict(jax.eval_shape(lambda: initial_variables(model, 0)), sep="/")
    shapes = {path: x.shape for path, x in wanted.items()}
    try:
        made = convert(weights, form, shapes)
    except InputError as error:
        raise InputError(f"{file}: {error}; is it of format {name}, depth {depth}?") from error
    # a network without batch norm has none
    variables = {"batch_stats": {}, **unflatten_dict(made, sep="/")}
    if backbone:
        save_backbone(workdir, settings, variables)
    else:
        save_run(workdir, settings, hierarchy, variables)
    return made
