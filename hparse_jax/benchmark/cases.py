"""What is timed: every case makes its subject ready and says what one call of it does."""

import contextlib
import dataclasses
import io
import os
import pathlib
import shutil
from collections.abc import Callable

import jax
import numpy as np
from jaxtyping import UInt8

from hparse_jax.config import Config, validate
from hparse_jax.data.dataset import BuiltDataset
from hparse_jax.data.stream import training_stream
from hparse_jax.data.synthetic.people import draw
from hparse_jax.errors import InputError
from hparse_jax.hierarchy import Hierarchy
from hparse_jax.inference.outputs import Outputs
from hparse_jax.inference.parse import Tally, parse_rounds
from hparse_jax.inference.photos import Photo, find_photos, read_photo
from hparse_jax.inference.predictor import Predictor, load_parser, resized
from hparse_jax.models.build import build_model, compute_dtype, initial_variables, levels_of
from hparse_jax.render import picture_jpeg
from hparse_jax.sharding import batch_sharding, check_batch, data_mesh
from hparse_jax.storage import write_bytes
from hparse_jax.training.step import create_state, make_train_step
from hparse_jax.training.train import check_trainable

_DRAWN = 16  # photographs of `predict` when none are given
_READ_AHEAD = 8  # batches of a stream before the timed ones: they were made while nobody waited
_BATCHES = 32  # timed ones


@dataclasses.dataclass(frozen=True)
class Subject:
    """What the cases measure.

    config, hierarchy: of a run or of a config file. workdir: of the run, or a packed file; None:
    random weights. size: height and width of the images in memory, pixels; None: config.crop.
    batch: images at a time; None: each case's own default. photos: the photographs of `predict`,
    a folder; None: drawn people. scratch: a folder for what is written meanwhile. engine,
    precision: of the parser, as in `Predictor`.
    """

    config: Config
    hierarchy: Hierarchy
    workdir: str | os.PathLike | None
    scratch: pathlib.Path
    size: tuple[int, int] | None = None
    batch: int | None = None
    photos: str | os.PathLike | None = None
    engine: str = "jax"
    precision: str = "auto"

    @property
    def training_config(self) -> Config:
        """The config with the crop and the batch size that training and its stream have."""
        batch, crop = self.batch or self.config.batch_size, self.size or self.config.crop
        return dataclasses.replace(self.config, batch_size=batch, crop=crop)


@dataclasses.dataclass(frozen=True)
class Case:
    """A case that is ready.

    images: how many one call handles. turn: a context manager around one call, which it gives;
    what comes before and after that call is not timed. conditions: what the results depend on,
    ready for JSON.
    """

    images: int
    turn: Callable[[], contextlib.AbstractContextManager[Callable[[], object]]]
    conditions: dict


def inference(subject: Subject) -> Case:
    """Random images in memory -> label maps of every level, at scale 1."""
    parser = _parser(subject, scales=(1.0,), side=0, max_side=None)
    size, batch = subject.size or subject.config.crop, subject.batch or parser.batch_size
    images = list(enumerate(_random_images(subject, batch, size)))

    def call():
        for _ in parser.stream(images, batch):
            pass

    conditions = {"size": size, "batch": batch} | _computed(parser)
    return Case(batch, lambda: contextlib.nullcontext(call), conditions)


def training(subject: Subject) -> Case:
    """Random images and labels in memory -> one optimiser step."""
    config, hierarchy = subject.training_config, levels_of(subject.config.model, subject.hierarchy)
    check_trainable(config, hierarchy)
    mesh = data_mesh(jax.local_devices())
    check_batch(config.batch_size, config.accumulate, mesh)
    images = _random_images(subject, config.batch_size, config.crop)
    leaves = len(hierarchy.levels[0].nodes)
    labels = np.random.default_rng(config.seed).integers(0, leaves, images.shape[:3], np.uint8)
    images, labels = jax.device_put((images, labels), batch_sharding(mesh))
    model = build_model(config.model, hierarchy)
    state = create_state(model, config, mesh, total_steps=1000)
    step = make_train_step(model, config, mesh, total_steps=1000)

    def call():
        nonlocal state  # donated: the old one is gone after the call
        state, metrics = step(state, images, labels)
        return metrics

    conditions = {"size": config.crop, "batch": config.batch_size}
    conditions["precision"] = compute_dtype(config.model)
    return Case(config.batch_size, lambda: contextlib.nullcontext(call), conditions)


def stream(subject: Subject) -> Case:
    """The built dataset in config.data_dir -> augmented training batches."""
    config, dataset = subject.training_config, _dataset(subject)

    @contextlib.contextmanager
    def turn():
        with training_stream(dataset, config, subject.hierarchy) as batches:

            def call(count=_BATCHES):
                for _ in range(count):
                    next(batches)

            call(_READ_AHEAD)
            yield call

    conditions = {"size": config.crop, "batch": config.batch_size, "workers": config.workers}
    return Case(_BATCHES * config.batch_size, turn, conditions)


def predict(subject: Subject) -> Case:
    """Photographs on disk -> png, overlay and json on disk, as `hparse predict` writes them."""
    parser = _parser(subject)
    drawn = subject.photos is None
    photos = _drawn(subject) if drawn else _photos(subject)
    pixels = [np.prod(read_photo(photo.path).shape[:2]) for photo in photos]
    outputs, output = Outputs(parser.hierarchy, origin=parser.settings), subject.scratch / "parsed"

    def call():
        tally = Tally()
        parse_rounds(parser, [photos], output, outputs, tally, batch_size=subject.batch)
        if tally.failures:
            raise InputError(tally.failures[0])

    @contextlib.contextmanager
    def turn():
        # its progress bar is for people at a terminal
        with contextlib.redirect_stderr(io.StringIO()):
            yield call
        shutil.rmtree(output)

    conditions = {
        "photographs": f"{len(photos)} {'drawn' if drawn else 'given'}",
        "megapixels": round(float(np.mean(pixels)) / 1e6, 3),
        "batch": subject.batch or parser.batch_size,
    } | _computed(parser)
    return Case(len(photos), turn, conditions)


PARSING = ("inference", "predict")  # the cases that have an engine
CASES = {"inference": inference, "training": training, "stream": stream, "predict": predict}


def check(subject: Subject, cases: tuple[str, ...]) -> None:
    """Raises InputError for what these cases would refuse, before the first of them starts."""
    validate(subject.training_config)
    if "training" in cases:
        check_trainable(subject.training_config, levels_of(subject.config.model, subject.hierarchy))
    if "stream" in cases:
        _dataset(subject)
    if "predict" in cases and subject.photos is not None:
        _photos(subject)


def _parser(subject: Subject, **options) -> Predictor:
    """The parser of the cases that parse: the one place that chooses how it computes."""
    options |= {"engine": subject.engine, "precision": subject.precision}
    if subject.workdir is not None:
        return load_parser(subject.workdir, **options)
    model = build_model(subject.config.model, subject.hierarchy)
    make = jax.jit(initial_variables, static_argnums=(0, 1))
    variables = make(model, subject.config.seed)
    return Predictor(model, variables, subject.config, subject.hierarchy, **options)


def _computed(parser: Predictor) -> dict:
    """What the network runs in, ready for JSON."""
    return {"engine": parser.engine, "precision": parser.precision}


def _random_images(
    subject: Subject, count: int, size: tuple[int, int]
) -> UInt8[np.ndarray, "n h w 3"]:
    rng = np.random.default_rng(subject.config.seed)
    return rng.integers(0, 256, (count, *size, 3), np.uint8)


def _dataset(subject: Subject) -> BuiltDataset:
    config = subject.config
    dataset = BuiltDataset(config.dataset, config.data_dir)
    if not len(dataset.records(config.train_split)):
        raise InputError(f"split {config.train_split} of {dataset.name} is empty; build it again")
    return dataset


def _photos(subject: Subject) -> list[Photo]:
    if not os.path.isdir(subject.photos):
        raise InputError(f"--photos={subject.photos}: no such folder; give one of photographs")
    outputs = Outputs(levels_of(subject.config.model, subject.hierarchy))
    return find_photos([subject.photos], subject.scratch / "parsed", outputs.endings())


def _drawn(subject: Subject) -> list[Photo]:
    """People drawn at the size of the training crop: its longer side is theirs, too."""
    folder = subject.scratch / "photos"
    for index in range(_DRAWN):
        image, _ = draw(subject.config.seed, index)
        factor = max(subject.config.crop) / max(image.shape[:2])
        size = tuple(max(1, round(side * factor)) for side in image.shape[:2])
        write_bytes(folder / f"{index}.jpg", picture_jpeg(resized(image, size)))
    return _photos(dataclasses.replace(subject, photos=folder))
