"""The whole parser in one file for other runtimes: photographs and sizes in, label maps out.

The interface of a file, whatever its format. Inputs: `images` uint8 [b, H, W, 3], RGB, each photo
in the top left corner, anything beyond; `sizes` int32 [b, 2], their height and width. Outputs for
each level NAME: `NAME` uint8 [b, H, W], node ids, 0 outside the photo; `NAME/logits` float32
[b, h', w', nodes], fused, on the network's grid. Everything is computed in float32, or the products
with trained weights in int8 (ONNX alone).
"""

import dataclasses
import importlib.metadata
import os
import pathlib
import types
from collections.abc import Callable, Iterable, Iterator, Sequence

import jax
import numpy as np
from jaxtyping import Int32, UInt8

from hparse_jax.checkpoint import Run
from hparse_jax.errors import InputError
from hparse_jax.inference.multiscale import parse_canvas, view_side
from hparse_jax.inference.predictor import resized, training_side
from hparse_jax.interop import stablehlo_file
from hparse_jax.models.build import build_model, levels_of
from hparse_jax.models.fold import fold_batch_norm
from hparse_jax.storage import replacing

FORMATS = ("onnx", "stablehlo")
TOLERANCE = 1e-4  # of the largest logit

_PACKAGE = "hparse_jax"
_RANDOM = 2  # canvases of noise in the comparison

Canvas = tuple[UInt8[np.ndarray, "b H W 3"], Int32[np.ndarray, "b 2"]]  # images, sizes


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How near an exported parser is to the JAX network.

    logits: the largest difference, as a share of the largest logit of its level. labels: the share
    of equal labels within the photos, at the level where it is smallest; the mean over batches.
    """

    logits: float
    labels: float


def canvas_size(size: tuple[int, int]) -> tuple[int, int]:
    """(height, width) with each side rounded up to 16 k + 1."""
    return view_side(size[0], 1.0), view_side(size[1], 1.0)


def export_parser(
    run: Run,
    file: str | os.PathLike,
    form: str,
    size: tuple[int, int],
    batch: int | None = None,
    photos: Iterable[UInt8[np.ndarray, "_ _ 3"]] = (),
    calibration: Sequence[UInt8[np.ndarray, "_ _ 3"]] = (),
) -> dict[str, Agreement]:
    """Writes a file and compares it with the run's network; returns the agreement by pictures.

    form: in `FORMATS`. size: of the canvas, each side 16 k + 1. batch: photos at a time; None: any
    number in StableHLO, 1 in ONNX, where shapes are fixed. photos: compared besides random images;
    brought to the canvas when they are larger. calibration: with any, the file is the one in int8,
    with the ranges of these photos, and is compared with the network on them; the bound below is
    for the file in float32 that it is made from. Raises InputError when the file exists, when a
    package is missing, and when logits differ by more than `TOLERANCE`; no file is left then.
    """
    if calibration and form != "onnx":
        raise InputError(f"int8 is for the format onnx, not for {form}")
    check_output(file)
    module = _module_of(form)
    if batch is None and form == "onnx":
        batch = 1
    function = parsing_function(run, fold_batch_norm(jax.device_get(run.variables)))
    on_cpu = jax.default_device(jax.local_devices(backend="cpu")[0])  # where float32 is float32
    network = jax.jit(parsing_function(run, jax.device_get(run.variables)))
    shown = batch or 2  # of any number, one that is not 1
    pictures = {
        "random images": _noise(size, shown),
        "photographs": _laid_out(photos, size, shown),
    }
    with replacing(file) as unfinished, on_cpu:
        about = description(run, size, batch, "int8" if calibration else "float32")
        module.write(unfinished, function, about)
        found = _compare(network, module.load(unfinished), pictures)
        worst = np.max([agreement.logits for agreement in found.values()])
        if not worst <= TOLERANCE:  # nor not a number
            raise InputError(
                f"{file}: differs from the network in JAX by {worst:.1e} of the largest logit, "
                f"more than {TOLERANCE:.0e}, and is not kept; try other versions of jax or of the "
                "packages of the format"
            )
        if calibration:
            from hparse_jax.interop.onnx_int8 import quantise  # here: its packages are an extra

            quantise(unfinished, unfinished, _laid_out(calibration, size, shown))
            again = {"photographs, int8": _laid_out(calibration, size, shown)}
            found |= _compare(network, module.load(unfinished), again)
    return found


def check_output(file: str | os.PathLike) -> None:
    """Raises InputError when the file exists."""
    if pathlib.Path(file).exists():
        raise InputError(f"{file}: exists already; remove it, or give another name")


def parsing_function(run: Run, variables: dict) -> Callable[..., dict[str, jax.Array]]:
    """(images, sizes) -> outputs by name, of these variables of the run's network, in float32."""
    config = run.config
    # ONNX has no loop of ours; the results are the same
    settings = dataclasses.replace(config.model, dtype="float32", scan="off")
    model = build_model(settings, run.hierarchy)
    preprocessing = (tuple(config.mean), tuple(config.std), config.channels)

    def parse(images, sizes):
        maps = zip(*parse_canvas(model, variables, images, sizes, preprocessing), strict=True)
        named = {}
        for level, (labels, logits) in zip(_levels(run), maps, strict=True):
            named |= {level.name: labels, f"{level.name}/logits": logits}
        return named

    return parse


def description(
    run: Run, size: tuple[int, int], batch: int | None, precision: str = "float32"
) -> dict:
    """What a file says of itself, as JSON: classes with parents and palette, normalisation, origin.

    precision: of the products with trained weights. hierarchy: its levels' nodes are in the order
    of their ids. outputs: their names in order. side: the length in pixels to which the longer side
    of a large photo is best brought.
    """
    config = run.config
    trained = f"{config.model.name} trained on {config.dataset} ({config.train_split})"
    return {
        "package": _PACKAGE,
        "version": importlib.metadata.version(_PACKAGE),
        "license": importlib.metadata.metadata(_PACKAGE)["License-Expression"],
        "note": run.note or f"{trained}, {run.step} steps",
        "network": config.model.name,
        "dataset": config.dataset,
        "split": config.train_split,
        "step": run.step,
        "size": list(size),
        "batch": batch,
        "precision": precision,
        "outputs": [f"{x.name}{end}" for x in _levels(run) for end in ("", "/logits")],
        "side": config.eval_side or training_side(config),
        "mean": list(config.mean),
        "std": list(config.std),
        "channels": config.channels,
        "hierarchy": levels_of(config.model, run.hierarchy).to_json(),
    }


def _levels(run: Run) -> tuple:
    return levels_of(run.config.model, run.hierarchy).levels


def _module_of(form: str) -> types.ModuleType:
    if form == "stablehlo":
        return stablehlo_file
    try:
        from hparse_jax.interop import onnx_file  # here: its packages are an extra
    except ImportError as error:
        raise InputError(
            f"format onnx needs the package {error.name}; pip install '{_PACKAGE}[export]'"
        ) from error
    return onnx_file


def _compare(
    network: Callable, exported: Callable, pictures: dict[str, Iterable[Canvas]]
) -> dict[str, Agreement]:
    """The agreement by pictures, of those that there are."""
    found = {}
    for name, canvases in pictures.items():
        compared = [
            _agreement(exported(*canvas), jax.device_get(network(*canvas)), canvas[1])
            for canvas in canvases
        ]
        if compared:
            logits, labels = zip(*map(dataclasses.astuple, compared), strict=True)
            found[name] = Agreement(float(np.max(logits)), float(np.mean(labels)))
    return found


def _agreement(made: dict, wanted: dict, sizes: np.ndarray) -> Agreement:
    differences, shares = [], []
    for name, x in wanted.items():
        if name.endswith("/logits"):
            differences.append(np.abs(made[name] - x).max() / max(np.abs(x).max(), 1e-30))
        else:
            equal = [made[name][i, :h, :w] == x[i, :h, :w] for i, (h, w) in enumerate(sizes)]
            shares.append(np.mean(np.concatenate([e.ravel() for e in equal])))
    return Agreement(float(np.max(differences)), float(np.min(shares)))


def _noise(size: tuple[int, int], batch: int) -> Iterator[Canvas]:
    """Random colours, beyond the photos too; the first photo fills the canvas."""
    rng = np.random.default_rng(0)
    for number in range(_RANDOM):
        sizes = rng.integers(1, np.array(size) + 1, (batch, 2), dtype=np.int32)
        if number == 0:
            sizes[0] = size
        yield rng.integers(0, 256, (batch, *size, 3), dtype=np.uint8), sizes


def _laid_out(photos: Iterable[np.ndarray], size: tuple[int, int], batch: int) -> Iterator[Canvas]:
    """Photos in batches; a last one that is not full repeats its first photo."""
    shown = [resized(x, _fitting(x.shape[:2], size)) for x in photos]
    for first in range(0, len(shown), batch):
        group = shown[first : first + batch]
        group += group[:1] * (batch - len(group))
        images, sizes = np.zeros((batch, *size, 3), np.uint8), np.zeros((batch, 2), np.int32)
        for i, photo in enumerate(group):
            sizes[i] = height, width = photo.shape[:2]
            images[i, :height, :width] = photo
        yield images, sizes


def _fitting(own: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """A size of the same shape that the canvas holds; never larger."""
    factor = min(1.0, *(side / length for side, length in zip(size, own, strict=True)))
    return tuple(max(1, int(length * factor)) for length in own)
