"""A trained parser as a Python object: photographs in, label maps out."""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Hashable, Iterable, Iterator

import cv2
import jax
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, UInt8

from hparse_jax.checkpoint import load_backbone, load_run
from hparse_jax.config import Config
from hparse_jax.data.buckets import group_by_canvas
from hparse_jax.errors import InputError
from hparse_jax.hierarchy import Hierarchy
from hparse_jax.inference.multiscale import Scorer, Scores
from hparse_jax.inference.photos import read_photo
from hparse_jax.models.build import NETWORKS, build_backbone, build_model
from hparse_jax.workdir import BackboneSettings, is_backbone

MAX_SIDE = 1536  # pixels; a photo with a longer side is parsed at reduced size


@dataclasses.dataclass(frozen=True)
class Result:
    """The parsing of one photograph of size (h, w).

    labels: leaf id of every pixel. levels: node ids of every level, finest first; levels[0] is
    labels. names: the leaves' names in id order. gates: for each level source ("direct",
    "top_down", "bottom_up") -> how far each node trusts it, float32 [nodes] (CNIF Eq. 15-16).
    """

    labels: UInt8[np.ndarray, "h w"]
    levels: tuple[UInt8[np.ndarray, "h w"], ...]
    names: tuple[str, ...]
    gates: tuple[dict[str, Float[np.ndarray, " _"]], ...]
    _scorer: Scorer = dataclasses.field(repr=False)
    _scores: Scores = dataclasses.field(repr=False)
    _index: int = dataclasses.field(repr=False)
    _parsed_size: tuple[int, int] = dataclasses.field(repr=False)

    def probabilities(self, level: int = 0) -> Float[np.ndarray, "h w nodes"]:
        """Softmax over the nodes of a level at the photo's size, computed when asked for."""
        if not 0 <= level < len(self.levels):
            raise InputError(f"level {level}: this parser has levels 0..{len(self.levels) - 1}")
        logits = self._scorer.mean_logits(self._scores, level, self._index, self._parsed_size)
        height, width = self.labels.shape
        if logits.shape[:2] != (height, width):
            logits = cv2.resize(logits, (width, height), interpolation=cv2.INTER_LINEAR)
        exponentials = np.exp(logits - logits.max(-1, keepdims=True))
        return exponentials / exponentials.sum(-1, keepdims=True)


class Parser:
    """Parses photographs with trained variables.

    config, hierarchy, variables: of a run; step: the checkpoint's, kept for reports.
    scales, flip: see `Scorer`. max_side: longest side in pixels that is parsed at full size.
    """

    def __init__(
        self,
        config: Config,
        hierarchy: Hierarchy,
        variables: dict,
        *,
        model: nn.Module | None = None,
        step: int | None = None,
        scales: tuple[float, ...] | None = None,
        flip: bool = False,
        max_side: int = MAX_SIDE,
    ):
        self.config, self.step = config, step
        self._model = build_model(config.model, hierarchy) if model is None else model
        self._scorer = Scorer(self._model, config, hierarchy, scales or config.eval_scales, flip)
        self.hierarchy = self._scorer.hierarchy
        self._variables = self._scorer.place(variables)
        self._max_side = max_side
        # a batch pays on an accelerator; on a CPU it would only be padded
        accelerated = jax.default_backend() != "cpu"
        self.batch_size = self._scorer.batch_size(
            8 * jax.local_device_count() if accelerated else 1
        )

    def __call__(self, photos) -> Result | list[Result]:
        """The result of a photo (uint8 [h, w, 3] RGB, or a path), or of a list the list of results.

        Photos in a list are parsed in batches of equal canvas. Raises InputError for an array of
        another type or shape and for a file that cannot be read.
        """
        if not isinstance(photos, list | tuple):
            return next(self.stream([(0, _as_image(photos))], batch_size=1))[1]
        images = ((i, _as_image(photo)) for i, photo in enumerate(photos))
        results = dict(self.stream(images))
        return [results[i] for i in range(len(photos))]

    def stream(
        self,
        photos: Iterable[tuple[Hashable, UInt8[np.ndarray, "h w 3"]]],
        batch_size: int | None = None,
    ) -> Iterator[tuple[Hashable, Result]]:
        """(key, image) pairs -> (key, result) pairs, in the order in which batches fill up.

        Reads lazily and keeps no more than the batches being filled, so a stream of any length
        fits into memory. batch_size is rounded up to a multiple of the number of devices.
        """
        keys: dict[str, tuple[Hashable, tuple[int, int]]] = {}

        def shrunk():
            for number, (key, image) in enumerate(photos):
                keys[str(number)] = key, image.shape[:2]
                yield str(number), _shrink(image, self._max_side), None

        size = self._scorer.batch_size(batch_size or self.batch_size)
        for batch in group_by_canvas(shrunk(), size, self.config.mean):
            scores = self._scorer(self._variables, batch.images, batch.sizes)
            maps = [np.asarray(x) for x in scores.labels]
            gates = [{k: np.asarray(v) for k, v in level.items()} for level in scores.gates]
            for i in np.flatnonzero(batch.valid).tolist():
                key, original = keys.pop(batch.ids[i])
                parsed = tuple(batch.sizes[i].tolist())
                levels = tuple(
                    _resize_labels(x[i, : parsed[0], : parsed[1]], original) for x in maps
                )
                yield (
                    key,
                    Result(
                        labels=levels[0],
                        levels=levels,
                        names=self.hierarchy.levels[0].nodes,
                        gates=tuple({k: v[i] for k, v in level.items()} for level in gates),
                        _scorer=self._scorer,
                        _scores=scores,
                        _index=i,
                        _parsed_size=parsed,
                    ),
                )

    def logits(self, images: np.ndarray | Array) -> dict[str, Float[Array, "b _ _ _"]]:
        """Output name -> logits [b, h', w', nodes] of normalised images.

        images: float32 [b, h, w, 3], as `normalise` makes them with the config's mean, std and
        channels; sides 16 k + 1 keep the grid aligned. Raises InputError for another type or shape.
        The fused logits go by the level's name, e.g. "parts", what was fused into them by
        "parts/direct", "parts/top_down" and "parts/bottom_up". Auxiliary maps have names of their
        own. The released network's are level1, level2, level3 and aux.
        """
        output = _apply(self._model, self._variables, _normalised(images))
        named = dict(output.auxiliary or {})
        own_names = NETWORKS[self.config.model.name].outputs
        if own_names:
            return named | {n: x.fused for n, x in zip(own_names, output.levels, strict=True)}
        for level, maps in zip(self.hierarchy.levels, output.levels, strict=True):
            named[level.name] = maps.fused
            for source in ("direct", "top_down", "bottom_up"):
                if getattr(maps, source) is not None:
                    named[f"{level.name}/{source}"] = getattr(maps, source)
        return named

    def features(self, images: np.ndarray | Array) -> tuple[Float[Array, "b _ _ _"], ...]:
        """The outputs of the backbone's blocks [b, h', w', c]: four of a ResNet, five of a VGG-16.

        images as in `logits`.
        """
        return tuple(_apply(self._model, self._variables, _normalised(images), method="features"))


class Backbone:
    """An imported backbone by itself: it gives features and parses nothing."""

    def __init__(self, settings: BackboneSettings, variables: dict):
        self._model = build_backbone(settings.name, settings.model)
        self._variables = variables

    def features(self, images: np.ndarray | Array) -> tuple[Float[Array, "b _ _ _"], ...]:
        """The outputs of the backbone's blocks [b, h', w', c]; see `Parser.features`."""
        return tuple(_apply(self._model, self._variables, _normalised(images), method="__call__"))

    def __call__(self, photos):
        raise InputError(
            "an imported backbone parses nothing by itself; train a parser from it with "
            "config.init_from"
        )


def load_parser(
    workdir_or_file: str | os.PathLike,
    step: int | None = None,
    scales: tuple[float, ...] | None = None,
    flip: bool = False,
    max_side: int = MAX_SIDE,
) -> "Parser | Backbone":
    """The parser that a training run made, or an imported backbone, for its features alone.

    workdir_or_file: the run's folder, or one checkpoint in it (DIR/checkpoints/STEP).
    step: of the checkpoint, default the last. scales: default the run's `eval_scales`.
    Raises InputError when there is no such run or checkpoint.
    """
    path = pathlib.Path(workdir_or_file)
    if path.parent.name == "checkpoints" and path.name.isdigit():
        if step not in (None, int(path.name)):
            raise InputError(f"{path} is the checkpoint of step {path.name}, not of step {step}")
        path, step = path.parent.parent, int(path.name)
    if is_backbone(path):
        return Backbone(*load_backbone(path))
    run = load_run(path, step)
    return Parser(
        run.config,
        run.hierarchy,
        run.variables,
        step=run.step,
        scales=scales,
        flip=flip,
        max_side=max_side,
    )


@functools.partial(jax.jit, static_argnums=0, static_argnames="method")
def _apply(model: nn.Module, variables: dict, images: Array, method: str | None = None):
    extra = {} if method else {"train": False}
    return model.apply(variables, images, method=method, **extra)


def _as_image(photo) -> np.ndarray:
    if isinstance(photo, str | os.PathLike):
        return read_photo(photo)
    image = np.asarray(photo)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise InputError(
            f"a photo of type {image.dtype} and shape {image.shape}; give RGB as uint8 [h, w, 3]"
        )
    return image


def _normalised(images) -> np.ndarray:
    images = np.asarray(images)
    if images.dtype != np.float32 or images.ndim != 4 or images.shape[3] != 3:
        raise InputError(
            f"images of type {images.dtype} and shape {images.shape}; "
            "give normalised images as float32 [b, h, w, 3]"
        )
    return images


def _shrink(image: np.ndarray, max_side: int) -> np.ndarray:
    height, width = image.shape[:2]
    factor = max_side / max(height, width)
    if factor >= 1:
        return image
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _resize_labels(labels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if labels.shape == tuple(size):
        return labels.copy()  # not a view that keeps the whole batch in memory
    return cv2.resize(labels, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
