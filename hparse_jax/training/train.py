"""One linear loop from a config to a trained parser."""

import contextlib
import functools
import os
import pathlib
import signal
import sys
import threading
import time

import jax
import numpy as np
from jax.experimental import multihost_utils
from tqdm import tqdm

from hparse_jax import sharding
from hparse_jax.checkpoint import Checkpoints
from hparse_jax.config import Config, validate
from hparse_jax.data.dataset import BuiltDataset
from hparse_jax.data.stream import training_stream
from hparse_jax.errors import InputError
from hparse_jax.hierarchy import Hierarchy, get_hierarchy
from hparse_jax.inference.evaluate import evaluate_split
from hparse_jax.inference.predictor import Predictor
from hparse_jax.joints import require_joints
from hparse_jax.lock import sole_writer
from hparse_jax.losses import class_weights
from hparse_jax.models.build import BACKBONES, NETWORKS, build_model, levels_of
from hparse_jax.selfcheck import check_compiler
from hparse_jax.training.step import create_state, make_train_step
from hparse_jax.training.transfer import start_from
from hparse_jax.training.writer import Writer
from hparse_jax.workdir import claim, is_backbone, read_settings, write_settings


def train(config: Config, workdir: str | os.PathLike, max_minutes: float | None = None) -> bool:
    """Trains, or resumes from the workdir's newest checkpoint. Returns whether all steps are done.

    They are not when SIGTERM came or max_minutes are over (looked at when a log entry is due); the
    state is then saved. Raises InputError on wrong settings or data, and when the loss is no longer
    finite; the last good checkpoint then stays.
    """
    begin = time.monotonic()
    check_compiler()
    validate(config)
    dataset = BuiltDataset(config.dataset, config.data_dir)
    built = get_hierarchy(config.hierarchy) if config.hierarchy else dataset.hierarchy
    hierarchy = levels_of(config.model, built)
    _check(config, workdir, dataset, hierarchy)
    mesh = sharding.data_mesh()
    sharding.check_batch(config.batch_size, config.accumulate, mesh)
    photos = dataset.splits[config.train_split]
    total = config.total_steps(photos)
    claim(workdir, config, hierarchy)
    lead = jax.process_index() == 0

    model = build_model(config.model, hierarchy)
    weights = None
    if config.loss.class_weights != "none":
        pixels = dataset.metadata.get("pixels", {}).get(config.train_split, {})
        weights = class_weights(pixels, hierarchy, config.loss.class_weights)
    train_step = make_train_step(model, config, mesh, total, weights)
    put = functools.partial(sharding.global_batch, mesh)
    with contextlib.ExitStack() as stack:
        still_ours = stack.enter_context(sole_writer(workdir, _say)) if lead else lambda: None
        if lead:
            claim(workdir, config, hierarchy)  # again: another one may have begun and ended
            write_settings(workdir, config, hierarchy)
        checkpoints = stack.enter_context(
            Checkpoints(workdir, config.keep_checkpoints, config.keep_best, config.keep_every)
        )
        if (checkpoints.latest or 0) >= total:
            _say(f"{workdir}: finished, {checkpoints.latest} of {total} steps are done")
            return True
        devices = f"{mesh.size} device{'s' * (mesh.size > 1)}"
        _say(f"{photos} photos, {total} steps, batch size {config.batch_size}, {devices}")
        state = create_state(model, config, mesh, total)
        if checkpoints.latest is not None:
            state = checkpoints.restore(state, _say)
            _say(f"{workdir}: resumes after step {checkpoints.latest}")
        elif config.init_from:
            state, new_ones = start_from(state, config, hierarchy)
            new = _modules(new_ones) or "nothing"
            _say(f"{config.init_from}: weights taken; initialised randomly: {new}")
        elif config.loss.structure != "none":
            _say(
                "structure loss from random weights: the paper starts from a trained run, "
                "config.init_from=WORKDIR"
            )
        elif config.pretrained:
            _say(
                "starts from random weights; the published score presumes trained ones, "
                "config.init_from=WORKDIR: the config file's text has the commands"
            )
        start = checkpoints.latest or 0
        writer = stack.enter_context(Writer(workdir, start, _say)) if lead else None
        terminated = stack.enter_context(_sigterm())
        batches = stack.enter_context(
            training_stream(
                dataset, config, hierarchy, start, jax.process_index(), jax.process_count()
            )
        )
        bar = stack.enter_context(
            tqdm(total=total, initial=start, unit="step", disable=None if lead else True)
        )
        stack.enter_context(_end_with_the_job())

        skipped = []

        def values_of(step, metrics, ids):
            """The step's metrics on the host; waits for the device. nan or inf stops the run, or
            counts as a skipped step."""
            values = {name: float(value) for name, value in jax.device_get(metrics).items()}
            if not np.isfinite([values["loss"], values["gradient_norm"]]).all():
                good = checkpoints.latest
                problem = (
                    f"step {step}: the loss is {values['loss']}, its gradient's norm "
                    f"{values['gradient_norm']}; records {', '.join(ids)}"
                )
                skipped.append(step)
                if config.on_nonfinite == "stop" or len(skipped) > config.nonfinite_limit:
                    raise InputError(
                        f"{problem}; "
                        + (f"step {good} is kept; " if good else "no checkpoint was due yet; ")
                        + "look at these records, or lower config.optimizer.base_lr"
                    )
                _say(f"{problem}; skipped, {len(skipped)} of at most {config.nonfinite_limit}")
            return values | ({"skipped_steps": len(skipped)} if skipped else {})

        saved = begin
        pending = None
        logged, since = start, time.perf_counter()
        for done in range(start + 1, total + 1):
            batch = next(batches)
            ids = [str(i) for i in batch["id"]]
            images, labels = put(batch["image"]), put(batch["label"])
            with jax.transfer_guard("disallow"):
                state, metrics = train_step(state, images, labels)
            # The device is busy with this step while the host looks at the one before.
            if pending is not None:
                values_of(*pending)
            pending = (done, metrics, ids)
            bar.update()

            stop = terminated(done)
            log, validation, save = (
                done == total or bool(every and done % every == 0)
                for every in (config.log_every, config.eval_every, config.checkpoint_every)
            )
            if not (log or validation or save or stop):
                continue
            values = values_of(*pending)
            pending = None
            still_ours()
            if log and (config.checkpoint_minutes or max_minutes):
                minutes = sharding.of_first_process(
                    (time.monotonic() - np.array([begin, saved])) / 60
                )
                stop |= bool(max_minutes) and minutes[0] >= max_minutes
                save |= bool(config.checkpoint_minutes) and minutes[1] >= config.checkpoint_minutes
            if log and config.log_every:
                seconds = time.perf_counter() - since
                values["images_per_second"] = (done - logged) * config.batch_size / seconds
                _report(bar, writer, done, total, config.batch_size, values)
            validation = validation and config.eval_every and not stop
            best = validation and config.keep_best  # saved after the evaluation, with its score
            if (save or stop) and not best:
                checkpoints.save(state, done)
            saved = time.monotonic() if save else saved
            if validation:
                variables = jax.tree.map(lambda x: x.addressable_data(0), state.evaluated)
                predictor = Predictor(
                    model,
                    variables,
                    config,
                    hierarchy,
                    step=done,
                    side=config.eval_side,
                    max_side=None,
                )
                scores = evaluate_split(
                    predictor,
                    dataset,
                    config.val_split,
                    hierarchy,
                    batch_size=config.eval_batch_size,
                )
                means = {f"val/{x['name']}/mean_iou": x["mean_iou"] for x in scores["levels"]}
                if lead:
                    writer.write(done, means)
                    text = ", ".join(f"{name} {value:.3f}" for name, value in means.items())
                    _say(f"step {done}: {text}")
                if best:
                    checkpoints.save(state, done, scores["levels"][0]["mean_iou"])
            if stop:
                checkpoints.wait()
                _say(f"{workdir}: terminated, step {done} of {total} is saved; rerun to resume")
                return False
            if log or validation:
                logged, since = done, time.perf_counter()
    _say(f"{workdir}: finished, {total} steps")
    return True


def check_trainable(config: Config, hierarchy: Hierarchy) -> None:
    """Raises InputError for settings of the training that do not fit the network or the classes."""
    name = config.model.name
    if not NETWORKS[name].trains:
        raise InputError(
            f"config.model.name={name}: holds imported weights and is not trained; "
            "train another network with config.init_from"
        )
    if config.mask_padding and not NETWORKS[name].hides_padding:
        raise InputError(
            f"config.mask_padding=true: config.model.name={name} cannot mask padding; leave it out"
        )
    if config.loss.structure != "none":
        require_joints(hierarchy, "set config.loss.structure=none")


def _check(
    config: Config, workdir: str | os.PathLike, dataset: BuiltDataset, hierarchy: Hierarchy
) -> None:
    """Raises InputError for settings that do not fit the network, the classes or the data."""
    check_trainable(config, hierarchy)
    start = config.init_from
    if start and pathlib.Path(start).resolve() == pathlib.Path(workdir).resolve():
        raise InputError(f"config.init_from={start}: is this run's own workdir; give another one")
    if start and not is_backbone(start):
        try:
            read_settings(start)
        except InputError as error:
            raise InputError(f"config.init_from: {error}") from error
    if config.eval_every and config.val_split not in dataset.splits:
        raise InputError(
            f"config.val_split={config.val_split}: {dataset.name} has {', '.join(dataset.splits)} "
            "alone; train without evaluations, config.eval_every=0, or build it with a list of val"
        )
    for split in (config.train_split, *([config.val_split] if config.eval_every else [])):
        if not len(dataset.records(split)):
            raise InputError(f"split {split} of {dataset.name} is empty; build it again")


@contextlib.contextmanager
def _end_with_the_job():
    """Of several processes, one whose common computation failed ends at once, in one line: others
    are gone or will go, and closing what is open would wait for them."""
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if jax.process_count() == 1:
            raise
        name = f"process {jax.process_index()} of {jax.process_count()}"
        print(
            f"hparse train: {name}: the processes can no longer compute together "
            f"({str(error).strip().splitlines()[0]}); start all of them again: the run resumes",
            file=sys.stderr,
            flush=True,
        )
        os._exit(1)


@contextlib.contextmanager
def _sigterm():
    """A function of the step: has SIGTERM come, to any process of the job?"""
    received = threading.Event()
    if jax.process_count() > 1:
        # jax's own handler agrees on one step for all processes.
        yield multihost_utils.reached_preemption_sync_point
        return
    if threading.current_thread() is not threading.main_thread():
        yield lambda step: False  # signals can only be caught by the main thread
        return
    before = signal.signal(signal.SIGTERM, lambda *_: received.set())
    try:
        yield lambda step: received.is_set()
    finally:
        signal.signal(signal.SIGTERM, before)


def _report(
    bar: tqdm, writer: Writer | None, done: int, total: int, batch_size: int, values: dict
) -> None:
    if writer is None:
        return
    writer.write(done, {f"train/{name}": value for name, value in values.items()})
    speed = values["images_per_second"]
    if not bar.disable:
        bar.set_postfix_str(f"loss {values['loss']:.3f}, {speed:.1f} images/s")
        return
    left = (total - done) * batch_size / speed
    _say(
        f"step {done}/{total}: loss {values['loss']:.4f}, {speed:.1f} images/s, "
        f"{int(left // 3600):02}:{time.strftime('%M:%S', time.gmtime(left))} left",
    )


def _modules(names: list[str]) -> str:
    """The modules of these weights: of a backbone each layer's, of the rest the upper two."""
    paths = [name.split("/")[1:-1] for name in names]
    return ", ".join(sorted({"/".join(p if p[0] in BACKBONES else p[:2]) for p in paths}))


def _say(text: str) -> None:
    """Prints a line on one process of the job, above its progress bar."""
    if jax.process_index() == 0:
        tqdm.write(text)
        sys.stdout.flush()
