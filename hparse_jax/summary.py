"""What a trained parser or an imported backbone is, without reading its weights."""

import dataclasses
import json
import math
import os
import pathlib

import jax
import jax.numpy as jnp
from flax import linen as nn

from hparse_jax.config import Config
from hparse_jax.hierarchy import Hierarchy
from hparse_jax.models.build import build_backbone, build_model, initial_variables, levels_of
from hparse_jax.packed import read_header
from hparse_jax.workdir import (
    CHECKPOINTS,
    SHIPPED,
    BackboneSettings,
    is_backbone,
    located,
    read_backbone,
    read_settings,
    saved_steps,
)


@dataclasses.dataclass(frozen=True)
class Summary:
    """A parser, or a backbone, as its workdir or its file describes it.

    place: the folder or the file. settings: of the run, or of the backbone. hierarchy: the levels
    that the network predicts; None for a backbone. steps: of the checkpoints there, in order; the
    last one is used. note: what a packed parser says of itself. parameters: how many numbers were
    learned. size: height and width of the photograph that `operations` belong to, additions and
    multiplications of one forward pass. bytes: of the newest checkpoint and of the whole folder,
    twice the same for a file. scores: file name -> what `hparse evaluate` wrote into the folder,
    None for a file that holds something else.
    """

    place: pathlib.Path
    settings: Config | BackboneSettings
    hierarchy: Hierarchy | None
    steps: tuple[int, ...]
    note: str
    parameters: int
    size: tuple[int, int]
    operations: float
    bytes: tuple[int, int]
    scores: dict[str, dict | None]


def summarise(workdir: str | os.PathLike = SHIPPED, size: tuple[int, int] | None = None) -> Summary:
    """The summary of a run, an imported backbone, or a file of `hparse pack`.

    size: height and width of the photograph, pixels; None: the training crop. Raises InputError
    when there is nothing of the kind.
    """
    place = located(workdir)
    hierarchy, note = None, ""
    if is_backbone(place):
        settings = read_backbone(place)
        model = build_backbone(settings.name, settings.model, settings.classifier)
    else:
        settings, hierarchy = read_settings(place)
        model = build_model(settings.model, hierarchy)
        hierarchy = levels_of(settings.model, hierarchy)
    if place.is_file():
        header = read_header(place)
        steps, note = [header["step"]], header["note"]
        used = place
    else:
        steps = saved_steps(place)
        used = place / CHECKPOINTS / str(steps[-1] if steps else "")
    size = size or (Config() if hierarchy is None else settings).crop
    return Summary(
        place=place,
        settings=settings,
        hierarchy=hierarchy,
        steps=tuple(steps),
        note=note,
        parameters=parameters(model),
        size=size,
        operations=operations(model, size),
        bytes=(_bytes(used), _bytes(place)),
        scores={file.name: _scores(file) for file in sorted(place.glob("evaluation_*.json"))},
    )


def parameters(model: nn.Module) -> int:
    """How many numbers a network learns; statistics of batch norm are not among them."""
    shapes = jax.eval_shape(lambda: initial_variables(model, 0))["params"]
    return sum(math.prod(x.shape) for x in jax.tree.leaves(shapes))


def operations(model: nn.Module, size: tuple[int, int]) -> float:
    """Additions and multiplications of one forward pass of one photograph of (height, width).

    XLA's count of the program as it is before the compiler changes it. Nothing is compiled.
    """
    variables = jax.eval_shape(lambda: initial_variables(model, 0))
    images = jax.ShapeDtypeStruct((1, *size, 3), jnp.float32)
    program = jax.jit(lambda variables, images: model.apply(variables, images, train=False))
    return program.lower(variables, images).cost_analysis()["flops"]


def _bytes(place: pathlib.Path) -> int:
    files = [place] if place.is_file() else (f for f in place.rglob("*") if f.is_file())
    return sum(file.stat().st_size for file in files)


def _scores(file: pathlib.Path) -> dict | None:
    """A report of `hparse evaluate`; None for something else."""
    try:
        report = json.loads(file.read_text())
        report["split"], report["step"], report["images"], report["scales"], report["flip"]
        [(level["name"], level["mean_iou"]) for level in report["levels"]]
    except (KeyError, TypeError, ValueError):
        return None
    return report
