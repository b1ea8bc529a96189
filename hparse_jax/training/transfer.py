"""Weights from another run, or from an imported backbone: where `config.init_from` starts."""

import dataclasses

import jax

from hparse_jax.checkpoint import TrainState, load_backbone, load_run
from hparse_jax.config import Config
from hparse_jax.errors import InputError
from hparse_jax.hierarchy import Hierarchy
from hparse_jax.models.build import NETWORKS
from hparse_jax.models.vgg import subsample
from hparse_jax.workdir import is_backbone

_BACKBONE = ("depth", "stem", "width")  # the settings that decide the shapes of a ResNet
_INPUT = ("mean", "std", "channels")  # the settings that weights are trained with


def start_from(
    state: TrainState, config: Config, hierarchy: Hierarchy
) -> tuple[TrainState, list[str]]:
    """The state with the weights of `config.init_from`, and the names of those it does not have.

    Of a run that averaged its weights (config.ema) the averaged ones.

    Weights are taken by name and shape: all of the backbone, and of the rest what fits, if the
    levels that both have hold the same nodes. In a backbone only batch norm that the source lacks
    stays randomly initialised (SegNet from a VGG-16, whose biases it does not need). The layers fc6
    and fc7 of a network take those of an imported VGG-16, subsampled if they are smaller. Raises
    InputError when there is no such run, the backbone does not fit, or its weights were trained on
    differently normalised images.
    """
    workdir, backbone = config.init_from, NETWORKS[config.model.name].backbone
    try:
        if is_backbone(workdir):
            source, variables = load_backbone(workdir)
            levels = {}
        else:
            run = load_run(workdir)
            source, variables = run.config, run.variables
            levels = {level.name: level.nodes for level in run.hierarchy.levels}
    except InputError as error:
        raise InputError(f"config.init_from: {error}") from error
    for field in _INPUT:
        trained, now = getattr(source, field), getattr(config, field)
        if trained != now:
            value = ",".join(map(str, trained)) if isinstance(trained, tuple) else trained
            raise InputError(
                f"config.init_from={workdir}: its weights were trained with "
                f"config.{field}={trained}, not {now}; set config.{field}={value}"
            )
    old = {_name(path): x for path, x in jax.tree_util.tree_leaves_with_path(variables)}
    same_classes = levels.get(hierarchy.levels[0].name) == hierarchy.levels[0].nodes and all(
        levels.get(level.name, level.nodes) == level.nodes for level in hierarchy.levels
    )
    others = [
        f"set config.model.{field}={getattr(source.model, field)}"
        for field in _BACKBONE
        if getattr(source.model, field) != getattr(config.model, field)
    ]
    new_ones = []

    def take(path, new):
        name, in_backbone = _name(path), path[1].key == backbone
        fits = name in old and old[name].shape == new.shape
        if fits and (same_classes or in_backbone):
            return jax.device_put(jax.device_get(old[name]), new.sharding)
        if in_backbone and (name in old or "norm" not in name.split("/")):
            there = list(old[name].shape) if name in old else "not there"
            raise InputError(
                f"config.init_from={workdir}: {name} is {there}, {list(new.shape)} is wanted; "
                + (", ".join(others) or "give a run with the same backbone")
            )
        layer = name.split("/")[-2:]
        published = old.get("/".join(["params", backbone, *layer]))
        if layer[0] in ("fc6", "fc7") and published is not None:
            smaller = subsample(jax.device_get(published), new.shape)
            if smaller.shape == new.shape:
                return jax.device_put(smaller, new.sharding)
        new_ones.append(name)
        return new

    variables = jax.tree_util.tree_map_with_path(take, state.variables)
    return dataclasses.replace(state, variables=variables), new_ones


def _name(path) -> str:
    return "/".join(key.key for key in path)
