"""A trained parser as a Python object: photographs in, label maps out.

`Predictor.stream` is the one loop from photographs through buckets and the network to cropped label
maps; parsing files, scoring a split and writing a submission all read from it.
"""

import copy
import dataclasses
import functools
import logging
import math
import os
import pathlib
import typing
from collections.abc import Callable, Iterable, Iterator

import cv2
import jax
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, UInt8

from hparse_jax.checkpoint import load_backbone, load_run
from hparse_jax.config import Config
from hparse_jax.data.buckets import Size, group_by_bucket, tight_buckets
from hparse_jax.engines.choose import choose
from hparse_jax.errors import InputError
from hparse_jax.hierarchy import Hierarchy
from hparse_jax.inference.multiscale import MultiScalePredictor, Prediction
from hparse_jax.inference.photos import read_photo
from hparse_jax.inference.result import Result, labels_at
from hparse_jax.models.build import NETWORKS, build_backbone, build_model, compute_dtype, levels_of
from hparse_jax.selfcheck import check_compiler
from hparse_jax.workdir import SHIPPED, BackboneSettings, is_backbone

Item = typing.TypeVar("Item")

MAX_SIDE = 1536  # pixels; a photo with a longer side is parsed at reduced size


class Predictor:
    """Parses photographs with trained variables.

    model, variables, config, hierarchy: of a run; step: the checkpoint's, kept for reports.
    scales, flip: the views of a photo whose logits are averaged, scales by default
    `config.eval_scales`. side: show every photo with its longer side at this many pixels before the
    scales apply; 0: at its own size; None: at `config.eval_side`, and if that is 0 at its own size
    too, but a large photo as `training_side` says. max_side: the longest side in pixels at which
    label maps are made; those of a larger photo are brought to its size (None: no limit).
    consistent: the most probable path of the tree for every pixel (see `consistent_labels`).
    buckets_of: see `group_by_bucket`; a program is compiled for every pair of buckets. engine: the
    runtime of the network, of `ENGINES`; precision: what it computes in, of `PRECISIONS`; "auto" as
    in `choose`, in JAX what the config says. Everything but the network is computed in JAX.

    Raises InputError for an engine that is not installed and a precision that it does not have.
    """

    def __init__(
        self,
        model: nn.Module,
        variables: dict,
        config: Config,
        hierarchy: Hierarchy,
        *,
        step: int | None = None,
        scales: tuple[float, ...] | None = None,
        flip: bool = False,
        side: int | None = None,
        max_side: int | None = MAX_SIDE,
        consistent: bool = False,
        buckets_of: Callable[[Size, Size], tuple[Size, Size]] = tight_buckets,
        engine: str = "jax",
        precision: str = "auto",
    ):
        self.config, self.step, self.flip, self.consistent = config, step, flip, consistent
        self.side = config.eval_side if side is None else side
        self.hierarchy = levels_of(config.model, hierarchy)
        self.scales = tuple(scales or config.eval_scales)
        self._model, self._variables = model, variables
        self._max_side, self._buckets_of = max_side, buckets_of
        # the longest side that is shown in its own size unless `side` says otherwise
        self.large = math.inf if side == 0 else max(config.crop) / min(_scales(config))
        self._announced = set()
        check_compiler()
        on_cpu = jax.default_backend() == "cpu"
        own = compute_dtype(config.model)
        self.engine, self.precision = choose(engine, precision, own, on_cpu)
        # what another runtime rounds is its matter
        dtype = self.precision if self.engine == "jax" else "float32"
        if dtype != own:
            self._model = model.clone(config=dataclasses.replace(model.config, dtype=dtype))
        if self.engine != "jax" and config.model.scan != "off":  # ONNX has no loop of ours
            unrolled = dataclasses.replace(self._model.config, scan="off")
            self._model = self._model.clone(config=unrolled)
        self._multiscale = MultiScalePredictor(
            self._model,
            variables,
            config,
            self.hierarchy,
            self.scales,
            flip,
            consistent,
            self.engine,
            self.precision,
        )
        # a batch pays on an accelerator; on a CPU it would only be padded
        accelerated = self.engine == "jax" and not on_cpu
        self.batch_size = 8 * jax.local_device_count() if accelerated else 1

    @property
    def ample_side(self) -> float | int:
        """A photo whose longer side has more pixels may be given with this many, or any number in
        between: it is shown, and its label maps are made, at half of that or less."""
        if self._max_side is None:
            return math.inf
        shown = self.side or (0 if math.isinf(self.large) else self.large)
        return 2 * max(self._max_side, shown)

    @property
    def settings(self) -> dict:
        """What reports say about how label maps were made; ready for JSON."""
        names = ("step", "scales", "flip", "side", "consistent", "engine", "precision")
        return {name: getattr(self, name) for name in names} | {"scales": list(self.scales)}

    @typing.overload
    def __call__(self, photos: np.ndarray | str | os.PathLike) -> Result: ...

    @typing.overload
    def __call__(self, photos: list | tuple) -> list[Result]: ...  # arrays and paths mixed, too

    def __call__(self, photos):
        """The result of a photo (uint8 [h, w, 3] RGB, or a path), or of a list the list of results.

        Photos in a list are parsed in batches of equal bucket. A result keeps the array or the path
        that was given, for its pictures. Raises InputError for an array of another type or shape
        and for a file that cannot be read.
        """
        if not isinstance(photos, list | tuple):
            image = _as_image(photos)
            result = next(self.stream([(0, image)], batch_size=1))[1]
            return result.with_photo(photos if _is_path(photos) else image)
        given = [photo if _is_path(photo) else _as_image(photo) for photo in photos]
        results = dict(self.stream((i, _as_image(photo)) for i, photo in enumerate(given)))
        return [results[i].with_photo(photo) for i, photo in enumerate(given)]

    def stream(
        self,
        photos: Iterable[tuple[Item, UInt8[np.ndarray, "h w 3"]]],
        batch_size: int | None = None,
        announce: Callable[[str], None] | None = None,
    ) -> Iterator[tuple[Item, Result]]:
        """(item, image) pairs -> (item, result) pairs, in the order in which batches fill up.

        An item is any object, returned with its result. Reads lazily and keeps no more than
        the batches being filled and two that are parsed (the device works on one while the results
        of the one before are used), so a stream of any length fits into memory. For the same reason
        results hold no photo: `result.with_photo(image or path)` before its pictures. batch_size is
        rounded up to a multiple of the number of devices. announce: called with a line before the
        program of a bucket is compiled, which can take many seconds.
        """
        for batch in self.batches(photos, batch_size, announce):
            yield from batch

    def batches(
        self,
        photos: Iterable[tuple[Item, UInt8[np.ndarray, "h w 3"]]],
        batch_size: int | None = None,
        announce: Callable[[str], None] | None = None,
    ) -> Iterator[Iterator[tuple[Item, Result]]]:
        """What `stream` yields, a batch at a time; use up a batch before asking for the next."""
        running: tuple[list, Prediction] | None = None
        size = self._multiscale.padded_batch_size(batch_size or self.batch_size)
        shown = map(self._shown, photos)
        for batch in group_by_bucket(shown, size, self.config.mean, self._buckets_of):
            height, width = batch.images.shape[1:3]
            if announce is not None and (height, width, batch.output_bucket) not in self._announced:
                announce(f"compiling for photographs up to {width} x {height}")
                self._announced.add((height, width, batch.output_bucket))
            before, running = running, (batch.items, self._multiscale(batch))
            if before is not None:
                yield self._results(*before)
        if running is not None:
            yield self._results(*running)

    def consistently(self, consistent: bool) -> "Predictor":
        """The same parser with `consistent` set so; the two share weights and networks."""
        other = copy.copy(self)
        other.consistent = consistent
        other._multiscale = self._multiscale.consistently(consistent)
        return other

    def buckets(self, height: int, width: int) -> tuple[Size, Size]:
        """The bucket of a photo of this size and that of its label maps."""
        return self._buckets_of(*self._sizes((height, width)))

    def _sizes(self, own: Size) -> tuple[Size, Size]:
        """The sizes at which a photo is shown and at which its label maps are made."""
        fits = self._max_side is None or max(own) <= self._max_side
        output = own if fits else _with_longer_side(own, self._max_side)
        if self.side or max(own) > self.large:
            return _with_longer_side(own, self.side or training_side(self.config)), output
        return output, output

    def _shown(self, photo: tuple[object, np.ndarray]) -> tuple[tuple, np.ndarray, tuple[int, int]]:
        """((item, own size), the image as it is shown, the size at which label maps are made)."""
        item, image = photo
        own = image.shape[:2]
        shown, output = self._sizes(own)
        return (item, own), resized(image, shown), output

    def _results(self, items: list, prediction: Prediction) -> Iterator[tuple[object, Result]]:
        maps = [np.asarray(x) for x in prediction.labels]
        gates = [{k: np.asarray(v) for k, v in level.items()} for level in prediction.gates]
        for i, (item, own) in enumerate(items):
            height, width = prediction.output_sizes[i]
            levels = tuple(labels_at(x[i, :height, :width], own) for x in maps)
            yield (
                item,
                Result(
                    labels=levels[0],
                    levels=levels,
                    hierarchy=self.hierarchy,
                    gates=tuple({k: v[i] for k, v in level.items()} for level in gates),
                    _logits=functools.partial(self._multiscale.mean_logits, prediction, i),
                ),
            )

    def logits(self, images: np.ndarray | Array) -> dict[str, Float[Array, "b _ _ _"]]:
        """Output name -> logits [b, h', w', nodes] of normalised images.

        images: float32 [b, h, w, 3], as `normalise` makes them with the config's mean, std and
        channels; sides 16 k + 1 keep the grid aligned. Raises InputError for another type or shape.
        Always computed in JAX, as `features` are.
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
        backbone = NETWORKS[self.config.model.name].backbone
        return tuple(_apply(self._model, self._variables, _normalised(images), backbone))


class FeatureExtractor:
    """An imported backbone by itself: it gives features and parses nothing."""

    def __init__(self, settings: BackboneSettings, variables: dict):
        self._model = build_backbone(settings.name, settings.model, settings.classifier)
        self._variables = variables

    def features(self, images: np.ndarray | Array) -> tuple[Float[Array, "b _ _ _"], ...]:
        """The outputs of the backbone's blocks [b, h', w', c]; see `Predictor.features`."""
        return tuple(_apply(self._model, self._variables, _normalised(images)))

    def __call__(self, photos) -> typing.NoReturn:
        """Raises InputError."""
        raise InputError(
            "an imported backbone parses nothing by itself; train a parser from it with "
            "config.init_from"
        )


def load_parser(
    workdir_or_file: str | os.PathLike | None = None, step: int | str | None = None, **options
) -> Predictor | typing.Any:
    """The parser that a training run made, a `Predictor`.

    Of an imported backbone its features alone, a `FeatureExtractor`. Which it is, the folder says;
    Any spares all callers the question.

    workdir_or_file: the run's folder, one checkpoint in it (DIR/checkpoints/STEP), or a file that
    `hparse pack` made; None: the parser that comes with the package, which says in a line what it
    is (logger "hparse_jax"). step: of the checkpoint, default the last. options: scales, flip,
    side, max_side, consistent, engine and precision of `Predictor`. Raises InputError when there is
    no such run or checkpoint.
    """
    workdir = SHIPPED if workdir_or_file is None else workdir_or_file
    path = pathlib.Path(workdir)
    if path.parent.name == "checkpoints" and path.name.isdigit():
        if step not in (None, int(path.name)):
            raise InputError(f"{path} is the checkpoint of step {path.name}, not of step {step}")
        workdir, step = path.parent.parent, int(path.name)
    if is_backbone(workdir):
        return FeatureExtractor(*load_backbone(workdir))
    run = load_run(workdir, step)
    if workdir_or_file is None:
        # a warning, since Python shows those to whoever has not set up logging
        logging.getLogger("hparse_jax").warning("no workdir is given: %s", run.note)
    model = build_model(run.config.model, run.hierarchy)
    return Predictor(model, run.variables, run.config, run.hierarchy, step=run.step, **options)


@functools.partial(jax.jit, static_argnums=(0, 3))
def _apply(model: nn.Module, variables: dict, images: Array, part: str | None = None):
    """The model's output, or that of one of its parts."""
    return model.apply(variables, images, method=part and (lambda m, x: getattr(m, part)(x)))


def training_side(config: Config) -> int:
    """The longer side, in pixels, at which a large photo is shown unless told otherwise.

    There it fills the training crop at the middle (geometric mean) of the training scales. Large
    is a photo that does not fit into the crop at the smallest of them.
    """
    return round(max(config.crop) / math.sqrt(min(_scales(config)) * max(_scales(config))))


def _scales(config: Config) -> tuple[float, ...]:
    return config.scale_choices or config.scale


def _is_path(photo) -> bool:
    return isinstance(photo, str | os.PathLike)


def _as_image(photo) -> np.ndarray:
    if _is_path(photo):
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


def _with_longer_side(size: tuple[int, int], side: int) -> tuple[int, int]:
    factor = side / max(size)
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def resized(image: UInt8[np.ndarray, "_ _ 3"], size: tuple[int, int]) -> UInt8[np.ndarray, "_ _ 3"]:
    """The image at another size (height, width), as the network is shown it."""
    if image.shape[:2] == size:
        return image
    # area: every pixel of the photo counts when it shrinks
    way = cv2.INTER_AREA if max(size) < max(image.shape[:2]) else cv2.INTER_LINEAR
    return cv2.resize(image, size[::-1], interpolation=way)
