"""Speed and memory of a config on this machine: one JSON line a case.

    python experiments/benchmark.py --config=configs/lip.py --cases=inference --batch=1 \\
        --config.model.dtype=float32

stream     batches from the built dataset in config.data_dir: seconds to open it, to the first
           batch of step 0 and of a late step; images a second, and the memory of all its
           processes at the end of each of three epochs
build      `hparse build` of config.dataset from a folder of --records photos, made by linking those
           of --raw (LIP's layout) again and again: photos a second, peak memory; also for a
           tenth of the photos, to show that memory does not grow with them
joints     heat maps of the batch's labels at 1/8 of the crop (LIP section 4)
inference  random images, from uint8 to the fused logits of every level
training   random images and labels, one optimiser step
structure  one optimiser step with the structure loss, in turn with one without it, and with what
           it adds alone, from logits to the images' weights: ratios of seconds and of XLA's count
           of operations
attention  Attention with weights at every point of the grid and at every fourth (options of
           configs/lip_baselines.py:attention) beside DeepLab-LargeFOV, which sees one scale, in
           turn: the same ratios, of inference and of a training step
Seconds are the median over --repeats calls after one warm-up call; compiling is timed apart. Peak
memory is the device's on accelerators and the process's on CPUs, so each case has its own process.
"""

import dataclasses
import json
import multiprocessing
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

from hparse_jax.config import Config, validate
from hparse_jax.data.dataset import BuiltDataset
from hparse_jax.data.stream import training_stream
from hparse_jax.hierarchy import Hierarchy, get_hierarchy
from hparse_jax.joints import joint_heatmaps
from hparse_jax.losses import structure_weights
from hparse_jax.models import build_model
from hparse_jax.models.build import initial_variables
from hparse_jax.models.ops import normalise
from hparse_jax.sharding import batch_sharding, data_mesh
from hparse_jax.training.step import create_state, make_train_step

_CONFIG = config_flags.DEFINE_config_file("config", None, "config file")
_CASES = flags.DEFINE_list("cases", ["stream", "inference", "training"], "what to measure")
_REPEATS = flags.DEFINE_integer("repeats", 5, "timed calls a case", lower_bound=1)
_BATCH = flags.DEFINE_integer("batch", 0, "images a call; 0: config.batch_size", lower_bound=0)
_ONLY = flags.DEFINE_string("only", "", "the one case that this process measures")
_RAW = flags.DEFINE_string("raw", None, "LIP's raw folder, for the case build")
_RECORDS = flags.DEFINE_integer("records", 30_000, "photos of the case build", lower_bound=1)
_EPOCHS = 3
_LATE_STEP = 100_000


def stream(config: Config, hierarchy: Hierarchy) -> dict:
    """Images a second and MiB over three epochs of the training stream."""
    speeds, memory = [], []
    begin = time.perf_counter()
    dataset = BuiltDataset(config.dataset, config.data_dir)
    dataset.records(config.train_split)
    opened = time.perf_counter() - begin
    steps = max(1, dataset.splits[config.train_split] // config.batch_size)
    starts = []
    for step in (0, _LATE_STEP):
        begin = time.perf_counter()
        with training_stream(dataset, config, hierarchy, step) as batches:
            next(batches)
            starts.append(time.perf_counter() - begin)
    with training_stream(dataset, config, hierarchy) as batches:
        next(batches)
        for _ in range(_EPOCHS):
            begin = time.perf_counter()
            for _ in range(steps):
                next(batches)
            speeds.append(steps * config.batch_size / (time.perf_counter() - begin))
            memory.append(_resident_mib())
    return {
        "workers": config.workers,
        "open_seconds": opened,
        "first_batch_seconds": {0: starts[0], _LATE_STEP: starts[1]},
        "images_per_second": statistics.median(speeds),
        "images_per_second_by_epoch": speeds,
        "memory_mib_by_epoch": memory,
    }


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


def inference(config: Config, hierarchy: Hierarchy) -> dict:
    """Seconds from uint8 images to the fused logits of every level."""
    images = jax.device_put(_random_batch(config, hierarchy)[0])
    _, call, compile_seconds = _inference(config, hierarchy, images)
    return _timed(config, compile_seconds, call)


def _inference(config: Config, hierarchy: Hierarchy, images: jax.Array):
    """The compiled program, a call of it, and the seconds to compile it."""
    model = build_model(config.model, hierarchy)

    def fused(variables, images):
        shown = normalise(images, config.mean, config.std, config.channels)
        output = model.apply(variables, shown, train=False)
        return [level.fused for level in output.levels]

    variables = jax.jit(initial_variables, static_argnums=(0, 1))(model, config.seed)
    begin = time.perf_counter()
    compiled = jax.jit(fused).lower(variables, images).compile()
    return compiled, lambda: compiled(variables, images), time.perf_counter() - begin


def joints(config: Config, hierarchy: Hierarchy) -> dict:
    """Seconds from labels to heat maps on a grid of stride 8."""
    labels = jax.device_put(_random_batch(config, hierarchy)[1][:, ::8, ::8])
    begin = time.perf_counter()
    compiled = jax.jit(lambda x: joint_heatmaps(x, hierarchy)).lower(labels).compile()
    compile_seconds = time.perf_counter() - begin
    return _timed(config, compile_seconds, lambda: compiled(labels))


def training(config: Config, hierarchy: Hierarchy) -> dict:
    """Seconds of one optimiser step on all local devices."""
    mesh = data_mesh(jax.local_devices())
    images, labels = jax.device_put(_random_batch(config, hierarchy), batch_sharding(mesh))
    _, call, compile_seconds = _step(config, hierarchy, mesh, images, labels)
    return _timed(config, compile_seconds, call)


def _step(config: Config, hierarchy: Hierarchy, mesh, images: jax.Array, labels: jax.Array):
    """The compiled optimiser step, a call of it, and the seconds to compile it."""
    model = build_model(config.model, hierarchy)
    state = create_state(model, config, mesh, total_steps=1000)
    step = make_train_step(model, config, mesh, total_steps=1000)
    begin = time.perf_counter()
    compiled = step.lower(state, images, labels).compile()
    compile_seconds = time.perf_counter() - begin

    def call():
        nonlocal state  # donated: the old one is gone after the call
        state, metrics = compiled(state, images, labels)
        return metrics

    return compiled, call, compile_seconds


def structure(config: Config, hierarchy: Hierarchy) -> dict:
    """Seconds of a step with the structure loss (LIP section 4) and without."""
    mesh = data_mesh(jax.local_devices())
    images, labels = jax.device_put(_random_batch(config, hierarchy), batch_sharding(mesh))

    def step_with(structure):
        loss = dataclasses.replace(config.loss, structure=structure)
        changed = dataclasses.replace(config, loss=loss)
        return _step(changed, hierarchy, mesh, images, labels)

    chosen = "product" if config.loss.structure == "none" else config.loss.structure
    programs = {name: step_with(name) for name in ("none", chosen)}
    grid = [-(-side // 8) for side in config.crop]
    logits = jnp.zeros((config.batch_size, *grid, len(hierarchy.levels[0].nodes)))
    alone = jax.jit(lambda x, y: structure_weights(x, y, hierarchy, config.loss))
    alone = alone.lower(logits, labels).compile()
    programs["weights_alone"] = alone, lambda: alone(logits, labels), None
    return _beside(programs)


def attention(config: Config, hierarchy: Hierarchy) -> dict:
    """Seconds of DeepLab-LargeFOV at one scale and of Attention, which applies it at three."""
    mesh = data_mesh(jax.local_devices())
    images, labels = jax.device_put(_random_batch(config, hierarchy), batch_sharding(mesh))
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
    measured = {"inference": _beside(forward)}
    steps = {name: _step(c, hierarchy, mesh, images, labels) for name, c in configs.items()}
    return measured | {"training": _beside(steps)}


def _beside(programs: dict) -> dict:
    """Compiled programs in turn; name -> (program, a call of it, _). Ratios: each to the first."""
    seconds = {name: [] for name in programs}
    for repeat in range(1 + _REPEATS.value):
        for name, (_, call, _) in programs.items():
            begin = time.perf_counter()
            jax.block_until_ready(call())
            if repeat:  # the first one warms up
                seconds[name].append(time.perf_counter() - begin)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    operations = {
        name: program.cost_analysis()["flops"] for name, (program, *_) in programs.items()
    }
    (_, *others) = programs

    def ratios(values):
        first, *rest = values.values()
        return {name: value / first for name, value in zip(others, rest, strict=True)}

    return {
        "seconds": medians,
        "seconds_smallest": {name: min(values) for name, values in seconds.items()},
        "ratio_of_seconds": ratios(medians),
        "ratio_of_operations": ratios(operations),
    }


def _timed(config: Config, compile_seconds: float, call) -> dict:
    jax.block_until_ready(call())
    seconds = []
    for _ in range(_REPEATS.value):
        begin = time.perf_counter()
        jax.block_until_ready(call())
        seconds.append(time.perf_counter() - begin)
    return {
        "compile_seconds": compile_seconds,
        "seconds": statistics.median(seconds),
        "images_per_second": config.batch_size / statistics.median(seconds),
        "peak_memory_mib": _peak_mib(),
    }


def _random_batch(config: Config, hierarchy: Hierarchy) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 [b, h, w, 3] and leaf labels uint8 [b, h, w]."""
    rng = np.random.default_rng(config.seed)
    shape = (config.batch_size, *config.crop)
    leaves = len(hierarchy.levels[0].nodes)
    return rng.integers(0, 256, (*shape, 3), np.uint8), rng.integers(0, leaves, shape, np.uint8)


def _peak_mib() -> float:
    """The largest amount of memory in use so far: the device's, or on a CPU the process's."""
    statistics_of_device = jax.local_devices()[0].memory_stats()
    if statistics_of_device:
        return statistics_of_device["peak_bytes_in_use"] / 2**20
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def _resident_mib() -> float | None:
    """Memory of this process and its workers, shared pages counted once; None without /proc."""
    pids = [os.getpid(), *(child.pid for child in multiprocessing.active_children())]
    rollups = [pathlib.Path(f"/proc/{pid}/smaps_rollup") for pid in pids]
    if not rollups[0].exists():
        return None
    lines = [line.split() for path in rollups for line in path.read_text().splitlines()]
    return sum(int(line[1]) for line in lines if line[0] == "Pss:") / 1024


def _device() -> str:
    devices = jax.local_devices()
    if devices[0].platform == "cpu":
        return f"cpu, {len(os.sched_getaffinity(0))} cores"
    return f"{len(devices)} x {devices[0].device_kind}"


def _measure(case: str) -> None:
    config = _CONFIG.value
    config.batch_size = _BATCH.value or config.batch_size
    validate(config)
    hierarchy = get_hierarchy(config.hierarchy or config.dataset)
    measured = {
        "stream": stream,
        "build": building,
        "joints": joints,
        "inference": inference,
        "training": training,
        "structure": structure,
        "attention": attention,
    }[case]
    line = {
        "case": case,
        "device": _device(),
        "jax": jax.__version__,
        "config": config_flags.get_config_filename(flags.FLAGS["config"]),
        "overrides": config_flags.get_override_values(flags.FLAGS["config"]),
        "model": config.model.name,
        "depth": config.model.depth,
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
    """Measures one case with --only, else starts a process a case."""
    logging.set_verbosity(logging.WARNING)
    if _ONLY.value:
        _measure(_ONLY.value)
        return
    failed = [
        case
        for case in _CASES.value
        if subprocess.run([sys.executable, *sys.argv, f"--only={case}"], check=False).returncode
    ]
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":  # the stream's workers import this file again
    flags.mark_flag_as_required("config")
    app.run(main)
