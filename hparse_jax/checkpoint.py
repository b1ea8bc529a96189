"""Checkpoints and the workdir: what a run leaves behind, and how it is read back.

The only file that imports orbax. A workdir holds config.json, hierarchy.json, metrics.jsonl and
checkpoints/STEP; weights and optimizer are stored apart, so that parsing reads the weights alone.
"""

import dataclasses
import json
import os
import pathlib

import jax
from orbax.checkpoint.experimental import v1 as orbax

from hparse_jax.config import Config, flat, from_json, validate
from hparse_jax.errors import InputError
from hparse_jax.hierarchy import Hierarchy, hierarchy_from_json
from hparse_jax.models import build_model
from hparse_jax.training.optimizer import BACKBONES
from hparse_jax.training.step import TrainState, initial_variables

# These may change between the parts of one run: they do not change what is learned.
_FREE = {
    "data_dir",
    "workers",
    "val_split",
    "eval_scales",
    "eval_batch_size",
    "log_every",
    "eval_every",
    "checkpoint_every",
    "keep_checkpoints",
}


@dataclasses.dataclass(frozen=True)
class Run:
    """A trained network as its workdir describes it. variables: {"params", "batch_stats"}."""

    config: Config
    hierarchy: Hierarchy
    step: int
    variables: dict


class Checkpoints:
    """The checkpoints of a run in training: saved in the background, the newest ones kept."""

    def __init__(self, workdir: str | os.PathLike, keep: int):
        policy = orbax.training.preservation_policies.LatestN(keep)
        self._folder = pathlib.Path(workdir).absolute() / "checkpoints"
        self._checkpointer = orbax.training.Checkpointer(
            self._folder, preservation_policy=policy, cleanup_tmp_directories=True
        )

    @property
    def latest(self) -> int | None:
        """The step of the newest complete checkpoint."""
        latest = self._checkpointer.latest
        return None if latest is None else latest.step

    def save(self, state: TrainState, step: int) -> None:
        """Starts saving; returns as soon as the state may be changed. A saved step is left."""
        if self.latest == step:
            return
        parts = {
            "variables": state.variables,
            "optimizer": {"step": state.step, "state": state.optimizer},
        }
        self._checkpointer.save_checkpointables_async(step, parts, force=True)

    def restore(self, state: TrainState) -> TrainState:
        """The newest checkpoint, in the shapes and shardings of `state`.

        Raises InputError when its arrays do not fit.
        """
        abstract = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding),
            {
                "variables": state.variables,
                "optimizer": {"step": state.step, "state": state.optimizer},
            },
        )
        parts = _load(self._checkpointer, self._folder, self.latest, abstract)
        optimizer = parts["optimizer"]
        return TrainState(optimizer["step"], parts["variables"], optimizer["state"])

    def wait(self) -> None:
        """Until the save in progress is complete on disk."""
        self._checkpointer.wait()

    def close(self) -> None:
        self._checkpointer.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def _load(checkpointer, folder: pathlib.Path, step: int, abstract: dict) -> dict:
    try:
        return checkpointer.load_checkpointables(step, abstract)
    except Exception as error:
        cause = error
        while cause.__cause__ is not None or cause.__context__ is not None:
            cause = cause.__cause__ or cause.__context__
        reason = " ".join(str(cause).split())[:300]
        raise InputError(
            f"{folder / str(step)}: cannot be restored ({type(cause).__name__}: {reason}); "
            "remove that step's folder to use an earlier one"
        ) from error


def save_variables(
    workdir: str | os.PathLike, config: Config, hierarchy: Hierarchy, variables: dict
) -> None:
    """Writes a workdir that holds weights of no training, as step 0. Raises InputError when the
    workdir has checkpoints already."""
    folder = pathlib.Path(workdir).absolute()
    if any((folder / "checkpoints").glob("*")):
        raise InputError(f"{workdir}: has checkpoints already; give a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder / "hierarchy.json", hierarchy.to_json())
    _write_json(folder / "config.json", dataclasses.asdict(config))
    with orbax.training.Checkpointer(folder / "checkpoints") as checkpointer:
        checkpointer.save_checkpointables(0, {"variables": variables})


def load_run(workdir: str | os.PathLike, step: int | None = None) -> Run:
    """Config, hierarchy and weights of a workdir, at its newest or the given step.

    Weights come replicated on the first local device. Raises InputError when the folder holds no
    run, or not that step.
    """
    folder = pathlib.Path(workdir).absolute()
    config, hierarchy = read_settings(folder)
    if not (folder / "checkpoints").is_dir():
        raise InputError(f"{workdir}: no checkpoints yet; train first: hparse train --workdir")
    with orbax.training.Checkpointer(folder / "checkpoints") as checkpointer:
        steps = [checkpoint.step for checkpoint in checkpointer.checkpoints]
        if not steps:
            raise InputError(f"{folder / 'checkpoints'}: no complete checkpoint; train further")
        step = steps[-1] if step is None else step
        if step not in steps:
            raise InputError(f"{folder / 'checkpoints'}: no step {step}; there are {steps}")
        model = build_model(config.model, hierarchy)
        sharding = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        abstract = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding),
            jax.eval_shape(lambda: initial_variables(model, 0)),
        )
        parts = _load(checkpointer, folder / "checkpoints", step, {"variables": abstract})
    return Run(config, hierarchy, step, parts["variables"])


def start_from(
    state: TrainState, config: Config, hierarchy: Hierarchy
) -> tuple[TrainState, list[str]]:
    """The state with the weights of `config.init_from`, and the names of those it does not have.

    Weights are taken by name and shape: all of the backbone, and of the rest what fits, if the
    classes are the same. Of a backbone only batch norm that the old one lacks starts anew (SegNet
    from a VGG-16, whose biases it does not need). Raises InputError when there is no such run, the
    backbone does not fit, or the photos would be shown to it in other colours than it knows.
    """
    workdir = config.init_from
    try:
        run = load_run(workdir)
    except InputError as error:
        raise InputError(f"config.init_from: {error}") from error
    for field in ("mean", "std", "channels"):
        known, now = getattr(run.config, field), getattr(config, field)
        if known != now:
            flag = ",".join(map(str, known)) if isinstance(known, tuple) else known
            raise InputError(
                f"config.init_from={workdir}: its weights know photos with config.{field}={known}, "
                f"not {now}; add --config.{field}={flag}"
            )
    old = {_name(path): x for path, x in _leaves(run.variables)}
    same_classes = run.hierarchy.levels[0].nodes == hierarchy.levels[0].nodes
    anew = []

    def take(path, new):
        name = _name(path)
        fits = name in old and old[name].shape == new.shape
        if fits and (same_classes or path[1].key in BACKBONES):
            return jax.device_put(jax.device_get(old[name]), new.sharding)
        if path[1].key in BACKBONES and (name in old or "norm" not in name.split("/")):
            there = list(old[name].shape) if name in old else "not there"
            raise InputError(
                f"config.init_from={workdir}: {name} is {there}, {list(new.shape)} is wanted; "
                "give a run with the same backbone and config.model.width"
            )
        anew.append(name)
        return new

    variables = jax.tree_util.tree_map_with_path(take, state.variables)
    return dataclasses.replace(state, variables=variables), anew


def _leaves(tree):
    return jax.tree_util.tree_flatten_with_path(tree)[0]


def _name(path) -> str:
    return "/".join(key.key for key in path)


def read_settings(folder: pathlib.Path) -> tuple[Config, Hierarchy]:
    """The config and hierarchy that training wrote. Raises InputError when they are not there."""
    trees = []
    for name in ("config.json", "hierarchy.json"):
        if not (folder / name).is_file():
            raise InputError(f"{folder}: not a workdir (no {name}); give the --workdir of training")
        try:
            trees.append(json.loads((folder / name).read_text()))
        except json.JSONDecodeError as error:
            raise InputError(f"{folder / name}: not JSON ({error}); restore the file") from error
    try:
        config, hierarchy = from_json(trees[0]), hierarchy_from_json(trees[1])
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputError(
            f"{folder}: config.json or hierarchy.json is damaged "
            f"({type(error).__name__}: {error}); restore the files"
        ) from error
    validate(config)
    return config, hierarchy


def claim_workdir(workdir: str | os.PathLike, config: Config, hierarchy: Hierarchy) -> None:
    """Writes the settings into a new workdir, or checks that it is one of the same run.

    A run that left no checkpoint binds nobody: its settings are replaced. Raises InputError naming
    the first setting in which they differ.
    """
    folder = pathlib.Path(workdir)
    started = any(path.name.isdigit() for path in (folder / "checkpoints").glob("*"))
    settings = ("config.json", "hierarchy.json")
    if started and all((folder / name).is_file() for name in settings):
        old, old_hierarchy = read_settings(folder)
        before, now = flat(old), flat(config)
        for field, value in now.items():
            if field not in _FREE and value != before[field]:
                raise InputError(
                    f"{workdir}: holds a run with config.{field}={before[field]!r}, not {value!r}; "
                    "use another --workdir or the same settings"
                )
        if old_hierarchy != hierarchy:
            raise InputError(
                f"{workdir}: holds a run with another hierarchy ({old_hierarchy.name}); "
                "use another --workdir"
            )
    elif started:
        raise InputError(f"{workdir}: has checkpoints but no config.json; use another --workdir")
    if jax.process_index() == 0:
        folder.mkdir(parents=True, exist_ok=True)
        _write_json(folder / "hierarchy.json", hierarchy.to_json())
        _write_json(folder / "config.json", dataclasses.asdict(config))


def _write_json(path: pathlib.Path, tree: dict) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(tree, indent=1) + "\n")
    os.replace(temporary, path)
