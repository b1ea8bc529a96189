"""What single parts cost on this machine: one JSON line a case. `hparse benchmark` has the rest.

    python experiments/costs.py --config=configs/lip.py --cases=joints,structure

build      `hparse build` of config.dataset from a folder of --records photos, made by linking those
           of --raw (LIP's layout) again and again: photos a second, peak memory; also for a
           tenth of the photos, to show that memory does not grow with them
joints     heat maps of the batch's labels at 1/8 of the crop (LIP section 4)
structure  one optimiser step with the structure loss, in turn with one without it, and with what
           it adds alone, from logits to the images' weights
attention  Attention with weights at every point of the grid and at every fourth (options of
           configs/lip_baselines.py:attention) beside DeepLab-LargeFOV, which sees one scale, in
           turn: inference and a training step

Seconds are the median and the smallest over --repeats calls in turn, after one warm-up call;
operations are XLA's count. Ratios are to the first of those that take turns.
"""

import dataclasses
import json
import os
import pathlib
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags, logging
from ml_collections import config_flags

from hparse_jax.benchmark.hardware import hardware
from hparse_jax.benchmark.measure import time_in_turn
from hparse_jax.config import Config, validate
from hparse_jax.hierarchy import Hierarchy, get_hierarchy
from hparse_jax.joints import joint_heatmaps
from hparse_jax.losses import structure_weights
from hparse_jax.models import build_model
from hparse_jax.models.build import initial_variables
from hparse_jax.models.ops import normalise
from hparse_jax.sharding import batch_sharding, data_mesh
from hparse_jax.training.step import create_state, make_train_step

_CONFIG = config_flags.DEFINE_config_file("config", None, "config file")
_CASES = flags.DEFINE_list("cases", ["joints", "structure"], "what to measure")
_REPEATS = flags.DEFINE_integer("repeats", 5, "timed calls a case", lower_bound=1)
_BATCH = flags.DEFINE_integer("batch", 0, "images a call; 0: config.batch_size", lower_bound=0)
_RAW = flags.DEFINE_string("raw", None, "LIP's raw folder, for the case build")
_RECORDS = flags.DEFINE_integer("records", 30_000, "photos of the case build", lower_bound=1)


def building(config: Config, hierarchy: Hierarchy) -> dict:
    """Photos a second and MiB of `hparse build`, for --records photos and for a tenth of them."""
    results = {}
    for records in (max(1, _RECORDS.value // 10), _RECORDS.value):
        with tempfile.TemporaryDirectory() as folder:
            raw = _repeated_lip(pathlib.Path(_RAW.value), pathlib.Path(folder) / "raw", records)
            command = ["build", config.dataset, f"--manual_dir={raw}", f"--data_dir={folder}/data"]
            begin = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "hparse_jax", *command],
                check=True,
                stdout=subprocess.DEVNULL,
            )
            seconds = time.perf_counter() - begin
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        results[records] = {
            "seconds": seconds,
            "photos_per_second": records / seconds,
            "peak_memory_mib": peak,
        }
    return {"by_records": results}


def _repeated_lip(raw: pathlib.Path, target: pathlib.Path, records: int) -> pathlib.Path:
    """LIP's short layout with the training photos of `raw` linked again under new ids."""
    photos = sorted((raw / "TrainVal_images" / "train_images").glob("*.jpg"))
    masks = raw / "TrainVal_parsing_annotations" / "train_segmentations"
    for folder in ("train_images", "train_segmentations"):
        (target / folder).mkdir(parents=True)
    for i in range(records):
        photo = photos[i % len(photos)]
        for source, name in (
            (photo, f"train_images/{i}.jpg"),
            (masks / f"{photo.stem}.png", f"train_segmentations/{i}.png"),
        ):
            try:
                os.link(source, target / name)
            except OSError:  # another file system
                shutil.copy(source, target / name)
    return target


def joints(config: Config, hierarchy: Hierarchy) -> dict:
    """Heat maps from labels, on a grid of stride 8."""
    labels = _random_batch(config, hierarchy)[1][:, ::8, ::8]
    compiled = jax.jit(lambda x: joint_heatmaps(x, hierarchy)).lower(labels).compile()
    return _in_turn({"joints": (compiled, lambda: compiled(labels))})


def structure(config: Config, hierarchy: Hierarchy) -> dict:
    """A step without and with the structure loss (LIP section 4), and what that adds alone."""
    images, labels = _random_batch(config, hierarchy)
    chosen = "product" if config.loss.structure == "none" else config.loss.structure
    programs = {}
    for name in ("none", chosen):
        loss = dataclasses.replace(config.loss, structure=name)
        changed = dataclasses.replace(config, loss=loss)
        programs[name] = _step(changed, hierarchy, images, labels)
    grid = [-(-side // 8) for side in config.crop]
    logits = jnp.zeros((config.batch_size, *grid, len(hierarchy.levels[0].nodes)))
    alone = jax.jit(lambda x, y: structure_weights(x, y, hierarchy, config.loss))
    alone = alone.lower(logits, labels).compile()
    programs["weights_alone"] = alone, lambda: alone(logits, labels)
    return _in_turn(programs)


def attention(config: Config, hierarchy: Hierarchy) -> dict:
    """DeepLab-LargeFOV at one scale, and Attention, which applies it at three."""
    images, labels = _random_batch(config, hierarchy)
    models = {
        "deeplab_largefov": {"name": "deeplab_largefov"},
        "attention": {"name": "attention", "attention_stride": 1},
        "attention_stride4": {"name": "attention", "attention_stride": 4},
    }
    configs = {
        name: dataclasses.replace(config, model=dataclasses.replace(config.model, **fields))
        for name, fields in models.items()
    }
    forward = {name: _inference(c, hierarchy, images) for name, c in configs.items()}
    measured = {"inference": _in_turn(forward)}
    steps = {name: _step(c, hierarchy, images, labels) for name, c in configs.items()}
    return measured | {"training": _in_turn(steps)}


def _random_batch(config: Config, hierarchy: Hierarchy) -> tuple[jax.Array, jax.Array]:
    """Images uint8 [b, h, w, 3] and leaf labels uint8 [b, h, w] on all local devices."""
    rng = np.random.default_rng(config.seed)
    shape = (config.batch_size, *config.crop)
    leaves = len(hierarchy.levels[0].nodes)
    batch = rng.integers(0, 256, (*shape, 3), np.uint8), rng.integers(0, leaves, shape, np.uint8)
    return jax.device_put(batch, batch_sharding(data_mesh(jax.local_devices())))


def _inference(config: Config, hierarchy: Hierarchy, images: jax.Array):
    """The compiled program from uint8 images to the fused logits of every level, and a call."""
    model = build_model(config.model, hierarchy)

    def fused(variables, images):
        shown = normalise(images, config.mean, config.std, config.channels)
        output = model.apply(variables, shown, train=False)
        return [level.fused for level in output.levels]

    variables = jax.jit(initial_variables, static_argnums=(0, 1))(model, config.seed)
    compiled = jax.jit(fused).lower(variables, images).compile()
    return compiled, lambda: compiled(variables, images)


def _step(config: Config, hierarchy: Hierarchy, images: jax.Array, labels: jax.Array):
    """The compiled optimiser step, and a call of it."""
    mesh = data_mesh(jax.local_devices())
    model = build_model(config.model, hierarchy)
    state = create_state(model, config, mesh, total_steps=1000)
    step = make_train_step(model, config, mesh, total_steps=1000)
    compiled = step.lower(state, images, labels).compile()

    def call():
        nonlocal state  # donated: the old one is gone after the call
        state, metrics = compiled(state, images, labels)
        return metrics

    return compiled, call


def _in_turn(programs: dict) -> dict:
    """Seconds and operations of compiled programs: name -> (program, a call of it)."""

    def seconds_of(call):
        begin = time.perf_counter()
        jax.block_until_ready(call())
        return time.perf_counter() - begin

    calls = {name: lambda call=call: seconds_of(call) for name, (_, call) in programs.items()}
    seconds = {
        name: values[1:]  # the first one warms up
        for name, values in time_in_turn(calls, 1 + _REPEATS.value).items()
    }
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    operations = {name: program.cost_analysis()["flops"] for name, (program, _) in programs.items()}

    def ratios(values):
        first, *_ = values.values()
        return {name: value / first for name, value in list(values.items())[1:]}

    return {
        "seconds": medians,
        "seconds_smallest": {name: min(values) for name, values in seconds.items()},
        "ratio_of_seconds": ratios(medians),
        "ratio_of_operations": ratios(operations),
    }


def _measure(case: str) -> None:
    config = _CONFIG.value
    config.batch_size = _BATCH.value or config.batch_size
    validate(config)
    hierarchy = get_hierarchy(config.hierarchy or config.dataset)
    measured = {
        "build": building,
        "joints": joints,
        "structure": structure,
        "attention": attention,
    }[case]
    line = {
        "case": case,
        "hardware": hardware(),
        "config": config_flags.get_config_filename(flags.FLAGS["config"]),
        "overrides": config_flags.get_override_values(flags.FLAGS["config"]),
        "crop": config.crop,
        "batch": config.batch_size,
        **measured(config, hierarchy),
    }
    print(json.dumps(_rounded(line)), flush=True)


def _rounded(value):
    """The same with four significant digits in every float."""
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def main(argv: list[str]) -> None:
    """Measures the cases one after the other."""
    logging.set_verbosity(logging.WARNING)
    for case in _CASES.value:
        _measure(case)


if __name__ == "__main__":
    flags.mark_flag_as_required("config")
    app.run(main)
