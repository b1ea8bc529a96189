"""Checkpoints: what training saves, and how a run or an imported backbone is read back.

The only file that imports orbax. Weights and optimizer are stored apart, so that parsing reads the
weights alone.
"""

import contextlib
import dataclasses
import functools
import logging
import os
import pathlib
import shutil
from collections.abc import Callable, Iterator

import flax.struct
import jax
import optax
from flax import linen as nn
from orbax.checkpoint.experimental import v1 as orbax

from hparse_jax.config import Config
from hparse_jax.errors import InputError
from hparse_jax.hierarchy import Hierarchy
from hparse_jax.integrity import find_damage, seal
from hparse_jax.models.build import build_backbone, build_model, initial_variables
from hparse_jax.packed import read_header, read_variables, write_packed
from hparse_jax.workdir import (
    CHECKPOINTS,
    BackboneSettings,
    check_new,
    located,
    read_backbone,
    read_settings,
    write_backbone,
    write_settings,
)

# Orbax logs the traceback of each of its threads before it raises what we report in one line.
logging.getLogger("absl").addFilter(lambda record: "orbax" not in record.pathname)
_LOG = logging.getLogger("hparse_jax")
_AVERAGE = "average"
_SCORE = "val_mean_iou"


@flax.struct.dataclass
class TrainState:
    """What training carries from step to step.

    variables: {"params", "batch_stats"}. average: their moving averages (config.ema) in the same
    form, or None. The statistics of batch norm are averaged like the weights: they then belong to
    the networks that the average is made of, not to the last of them alone.
    """

    step: jax.Array
    variables: dict
    optimizer: optax.OptState
    average: dict | None = None

    @property
    def evaluated(self) -> dict:
        """What to evaluate and predict with: the average where there is one."""
        return self.variables if self.average is None else self.average


@dataclasses.dataclass(frozen=True)
class Run:
    """A trained network as its workdir describes it.

    variables: {"params", "batch_stats"}; their moving average when the run made one. note: what a
    packed parser says of itself in one line.
    """

    config: Config
    hierarchy: Hierarchy
    step: int
    variables: dict
    note: str = ""


class Checkpoints(contextlib.AbstractContextManager):
    """The checkpoints of a run in training: saved in the background, the newest ones kept.

    keep: how many. Besides them, keep_best: the one of the best score; keep_every: those of steps
    that are multiples of it.
    """

    def __init__(
        self,
        workdir: str | os.PathLike,
        keep: int,
        keep_best: bool = False,
        keep_every: int = 0,
    ):
        policies = orbax.training.preservation_policies
        kept = [policies.LatestN(keep)]
        if keep_best:
            best = policies.BestN(get_metric_fn=_score, n=1, keep_checkpoints_without_metrics=False)
            kept.append(best)
        if keep_every:
            kept.append(policies.EveryNSteps(keep_every))
        self._folder = pathlib.Path(workdir).absolute() / CHECKPOINTS
        self._open = functools.partial(
            orbax.training.Checkpointer,
            self._folder,
            preservation_policy=policies.AnyPreservationPolicy(kept),
            cleanup_tmp_directories=True,
        )
        self._checkpointer = self._open()
        self._unsealed: list[int] = []  # steps whose files have no checksums yet

    @property
    def latest(self) -> int | None:
        """The step of the newest complete checkpoint."""
        latest = self._checkpointer.latest
        return None if latest is None else latest.step

    def save(self, state: TrainState, step: int, score: float | None = None) -> None:
        """Starts saving, unless that step is saved; returns as soon as the state may be changed.

        score: of these weights on the validation split, the higher the better.
        """
        if self.latest != step:
            self.wait()  # nothing may be deleted while the step before is sealed
            self._check_room(state)
            metrics = None if score is None else {_SCORE: score}
            with self._saving():
                self._checkpointer.save_checkpointables_async(
                    step, _stored(state), force=True, metrics=metrics
                )
            self._unsealed.append(step)

    def _check_room(self, state: TrainState) -> None:
        """Raises InputError before orbax fills the disk, at which its threads print for long."""
        needed = sum(x.nbytes for x in jax.tree.leaves(state)) + 2**20  # and its small files
        free = shutil.disk_usage(self._folder).free
        if free < needed:
            raise InputError(
                f"{self._folder}: {free / 1e6:.1f} MB are free, a checkpoint takes "
                f"{needed / 1e6:.1f}; those that are complete are kept; make room, then the same "
                "command resumes"
            )

    def restore(self, state: TrainState, say: Callable[[str], None] = _LOG.warning) -> TrainState:
        """The newest checkpoint, in the shapes and shardings of `state`.

        A damaged one is moved to WORKDIR/damaged and the one before is taken, which `say` gets a
        line about; not where several processes would have to agree. Raises InputError when the
        arrays do not fit, and when nothing is left.
        """
        while problem := find_damage(self._folder / str(self.latest)):
            if jax.process_count() > 1 or len(self._checkpointer.checkpoints) < 2:
                raise _damaged(problem)
            step = str(self.latest)
            aside = self._folder.parent / "damaged" / step
            shutil.rmtree(aside, ignore_errors=True)
            aside.parent.mkdir(exist_ok=True)
            self._checkpointer.close()
            shutil.move(self._folder / step, aside)
            self._checkpointer = self._open()
            say(f"{problem}; step {step} is moved to {aside}, step {self.latest} is taken")
        abstract = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), _stored(state)
        )
        stored = _load(self._checkpointer, self._folder, self.latest, abstract)
        optimizer = stored["optimizer"]
        return TrainState(
            optimizer["step"], stored["variables"], optimizer["state"], stored.get(_AVERAGE)
        )

    def wait(self) -> None:
        """Until the save in progress is complete on disk. Raises InputError when it failed."""
        with self._saving():
            self._checkpointer.wait()
            self._seal()

    def __exit__(self, kind, *_):
        try:
            with self._saving():
                self._checkpointer.close()
                self._seal()
        except InputError:
            if kind is None:  # else the first error is the one to report
                raise

    def _seal(self) -> None:
        if jax.process_index() == 0:
            for step in self._unsealed:
                seal(self._folder / str(step))
        self._unsealed.clear()

    @contextlib.contextmanager
    def _saving(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._unsealed.clear()
            raise InputError(
                f"{self._folder}: a checkpoint could not be saved ({_cause_of(error)}); those that "
                "are complete are kept; when there is room, the same command resumes"
            ) from error


def _stored(state: TrainState) -> dict:
    optimizer = {"step": state.step, "state": state.optimizer}
    average = {} if state.average is None else {_AVERAGE: state.average}
    return {"variables": state.variables, "optimizer": optimizer, **average}


def _score(metrics: dict) -> float:
    return metrics[_SCORE]


def _damaged(problem: str) -> InputError:
    return InputError(f"{problem}; remove that step's folder to use an earlier one")


def _load(checkpointer, folder: pathlib.Path, step: int, abstract: dict) -> dict:
    try:
        saved = checkpointer.checkpointables_metadata(step).metadata
        for name in {"variables", _AVERAGE} & abstract.keys():
            _check_shapes(saved[name], abstract[name])
        return checkpointer.load_checkpointables(step, abstract)
    except Exception as error:
        raise InputError(
            f"{folder / str(step)}: cannot be restored ({_cause_of(error)}); use the version of "
            "hparse_jax that wrote it, or, if it is damaged, remove that step's folder to use an "
            "earlier one"
        ) from error


def _cause_of(error: Exception) -> str:
    while error.__cause__ is not None or error.__context__ is not None:
        error = error.__cause__ or error.__context__
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _check_shapes(saved: dict, wanted: dict) -> None:
    """Raises ValueError for an array of another shape, before orbax reads: where its reading fails,
    threads of it go on and print."""
    shapes = {}
    for path, x in jax.tree_util.tree_leaves_with_path(saved):
        shapes[jax.tree_util.keystr(path, simple=True, separator="/")] = x.shape
    for path, x in jax.tree_util.tree_leaves_with_path(wanted):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        if shapes.get(name) != x.shape:
            there = list(shapes[name]) if name in shapes else "not there"
            raise ValueError(f"{name} is {there}, {list(x.shape)} is wanted")


def save_run(
    workdir: str | os.PathLike, config: Config, hierarchy: Hierarchy, variables: dict
) -> None:
    """Writes a workdir whose weights no training here made, as step 0.

    Raises InputError when the workdir has checkpoints already.
    """
    check_new(workdir)
    write_settings(workdir, config, hierarchy)
    _save_weights(workdir, variables)


def save_backbone(workdir: str | os.PathLike, settings: BackboneSettings, variables: dict) -> None:
    """Writes the workdir of an imported backbone, for `config.init_from`.

    Raises InputError when the workdir has checkpoints already.
    """
    check_new(workdir)
    write_backbone(workdir, settings)
    _save_weights(workdir, variables)


def _save_weights(workdir: str | os.PathLike, variables: dict) -> None:
    folder = pathlib.Path(workdir).absolute() / CHECKPOINTS
    with orbax.training.Checkpointer(folder) as checkpointer:
        checkpointer.save_checkpointables(0, {"variables": variables})
    seal(folder / "0")


def load_run(workdir: str | os.PathLike, step: int | str | None = None) -> Run:
    """Config, hierarchy and weights of a run, at its newest or the given step.

    workdir: its folder, a file that `pack_run` made, or "shipped", the parser that comes with the
    package. step: or "best", the one of the highest validation score that is kept
    (config.keep_best). Weights, averaged ones where the run made them, are placed on the first
    local device. Raises InputError when there is no run, or not that step.
    """
    config, hierarchy = read_settings(workdir)
    model = build_model(config.model, hierarchy)
    if located(workdir).is_file():
        return _load_packed(located(workdir), config, hierarchy, model, step)
    step, variables = _load_weights(workdir, model, step)
    return Run(config, hierarchy, step, variables)


def pack_run(run: Run, file: str | os.PathLike, note: str) -> int:
    """Writes a run into one file, for `load_run`; returns its size in bytes.

    note: one line that says what it is. Paths of this machine are left out of the config. Raises
    InputError when the file exists.
    """
    paths = {field: getattr(Config(), field) for field in ("data_dir", "hierarchy", "init_from")}
    header = {
        "config": dataclasses.asdict(dataclasses.replace(run.config, **paths)),
        "hierarchy": run.hierarchy.to_json(),
        "step": run.step,
        "note": note,
    }
    return write_packed(file, header, jax.device_get(run.variables))


def _load_packed(
    file: pathlib.Path,
    config: Config,
    hierarchy: Hierarchy,
    model: nn.Module,
    step: int | str | None,
) -> Run:
    header, variables = read_header(file), read_variables(file)
    if step not in (None, header["step"]):
        raise InputError(f"{file}: holds step {header['step']} alone, not {step}; leave it out")
    variables = {"batch_stats": {}, **variables}  # empty ones are not in the file
    try:
        _check_shapes(variables, jax.eval_shape(lambda: initial_variables(model, 0)))
    except (ValueError, OverflowError) as error:
        raise InputError(
            f"{file}: does not fit this version of hparse_jax ({error}); install the version that "
            "made it"
        ) from error
    placed = jax.device_put(variables, jax.local_devices()[0])
    return Run(config, hierarchy, header["step"], placed, header["note"])


def load_backbone(workdir: str | os.PathLike) -> tuple[BackboneSettings, dict]:
    """An imported backbone: its settings and its variables. Raises InputError."""
    settings = read_backbone(workdir)
    model = build_backbone(settings.name, settings.model, settings.classifier)
    return settings, _load_weights(workdir, model)[1]


def _load_weights(
    workdir: str | os.PathLike, model: nn.Module, step: int | str | None = None
) -> tuple[int, dict]:
    folder = pathlib.Path(workdir).absolute() / CHECKPOINTS
    if not folder.is_dir():
        raise InputError(f"{workdir}: no checkpoints yet; train the run first")
    with orbax.training.Checkpointer(folder) as checkpointer:
        steps = [checkpoint.step for checkpoint in checkpointer.checkpoints]
        if not steps:
            raise InputError(f"{folder}: no complete checkpoint; train further")
        if step == "best":
            scored = [c for c in checkpointer.checkpoints if c.metrics and _SCORE in c.metrics]
            if not scored:
                raise InputError(
                    f"{folder}: no checkpoint has a validation score, which config.keep_best saves "
                    f"with it; name one of the steps {steps}"
                )
            step = max((_score(c.metrics), c.step) for c in scored)[1]  # of equal ones the newest
        step = steps[-1] if step is None else step
        if step not in steps:
            raise InputError(f"{folder}: no step {step}; there are {steps}")
        sharding = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        abstract = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding),
            jax.eval_shape(lambda: initial_variables(model, 0)),
        )
        name = _AVERAGE if (folder / str(step) / _AVERAGE).is_dir() else "variables"
        if problem := find_damage(folder / str(step), name):
            raise _damaged(problem)
        return step, _load(checkpointer, folder, step, {name: abstract})[name]
