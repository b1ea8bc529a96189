"""The folder of a run: config.json, hierarchy.json, metrics.jsonl and checkpoints/STEP.

A folder of an imported backbone holds backbone.json instead of the first two, and one checkpoint.
Settings are sealed by checksums.json beside them; a folder of an earlier version has none.
"""

import dataclasses
import json
import os
import pathlib

from hparse_jax.config import Config, ModelConfig, flat, from_json, validate
from hparse_jax.errors import InputError
from hparse_jax.hierarchy import Hierarchy, hierarchy_from_json
from hparse_jax.integrity import SEAL, find_damage, seal
from hparse_jax.models.build import BACKBONES, NETWORKS
from hparse_jax.packed import SUFFIX, read_header
from hparse_jax.storage import check_folder, write_json

CHECKPOINTS = "checkpoints"
_SETTINGS = ("config.json", "hierarchy.json")
_BACKBONE = "backbone.json"

# These may change when a run is resumed: they do not change what is learned.
_FREE = {
    "data_dir",
    "workers",
    "val_split",
    "eval_scales",
    "eval_side",
    "eval_batch_size",
    "log_every",
    "eval_every",
    "checkpoint_every",
    "checkpoint_minutes",
    "keep_checkpoints",
    "keep_every",
    "keep_best",
    "on_nonfinite",
    "nonfinite_limit",
    "pretrained",
}


SHIPPED = "shipped"  # instead of a workdir: the parser that comes with the package
_SHIPPED_FILE = pathlib.Path(__file__).parent / "weights" / "street.safetensors"


@dataclasses.dataclass(frozen=True)
class BackboneSettings:
    """What an imported backbone is.

    name: in the table of backbones. model: its depth, stem and width. mean, std, channels: the
    input that its weights were trained on, as in `Config`. classifier: whether it holds the fc6 and
    fc7 of a VGG-16, too.
    """

    name: str
    model: ModelConfig
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    channels: str
    classifier: bool = False


def located(workdir: str | os.PathLike) -> pathlib.Path:
    """The folder or the file that a workdir names: "shipped" is a file of the package.

    Raises InputError when the installation lacks it.
    """
    if os.fspath(workdir) != SHIPPED:
        return pathlib.Path(workdir)
    if not _SHIPPED_FILE.is_file():
        raise InputError("no trained parser comes with this installation; give a workdir")
    return _SHIPPED_FILE


def is_backbone(folder: str | os.PathLike) -> bool:
    """Whether the folder holds an imported backbone, not a run."""
    return (located(folder) / _BACKBONE).is_file()


def saved_steps(folder: str | os.PathLike) -> list[int]:
    """The steps of the complete checkpoints in a folder, in order."""
    names = (path.name for path in (pathlib.Path(folder) / CHECKPOINTS).glob("*"))
    return sorted(int(name) for name in names if name.isdigit())


def read_settings(workdir: str | os.PathLike) -> tuple[Config, Hierarchy]:
    """The config and the hierarchy of a run, in its folder or packed into a file.

    Raises InputError when they are not there.
    """
    folder = located(workdir)
    if folder.is_file() or folder.suffix == SUFFIX:
        header = read_header(folder)
        return settings_from_json(folder, header["config"], header["hierarchy"])
    if is_backbone(folder):
        raise InputError(
            f"{folder}: holds an imported backbone, which parses nothing by itself; train a parser "
            "from it with config.init_from"
        )
    return settings_from_json(folder, *_read(folder, _SETTINGS))


def settings_from_json(
    source: pathlib.Path, config: dict, hierarchy: dict
) -> tuple[Config, Hierarchy]:
    """The settings in the JSON that was read from `source`. Raises InputError naming it."""
    try:
        model = config["model"]
        if model["name"] in NETWORKS:
            model = {**NETWORKS[model["name"]].earlier, **model}
        made = from_json(config | {"model": model})
        validate(made)
        return made, hierarchy_from_json(hierarchy)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise _damaged(source, " or ".join(_SETTINGS), error) from error


def read_backbone(folder: str | os.PathLike) -> BackboneSettings:
    """The settings of an imported backbone. Raises InputError when they are not there."""
    folder = pathlib.Path(folder)
    (tree,) = _read(folder, (_BACKBONE,))
    try:
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in tree.items()}
        model = from_json(tree["model"], ModelConfig, "model")
        validate(Config(model=model))
        BACKBONES[tree["name"]]
        return BackboneSettings(**values | {"model": model})
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise _damaged(folder, _BACKBONE, error) from error


def write_settings(folder: str | os.PathLike, config: Config, hierarchy: Hierarchy) -> None:
    """Writes config.json and hierarchy.json; data_dir as an absolute path, so that the run can be
    used from any folder."""
    config = dataclasses.replace(config, data_dir=os.path.abspath(config.data_dir))
    trees = (dataclasses.asdict(config), hierarchy.to_json())
    _write(pathlib.Path(folder), dict(zip(_SETTINGS, trees, strict=True)))


def write_backbone(folder: str | os.PathLike, settings: BackboneSettings) -> None:
    """Writes backbone.json."""
    _write(pathlib.Path(folder), {_BACKBONE: dataclasses.asdict(settings)})


def check_new(folder: str | os.PathLike) -> None:
    """Raises InputError for a folder that weights cannot be imported into."""
    folder = pathlib.Path(folder)
    check_folder(folder, "workdir")
    if any((folder / CHECKPOINTS).glob("*")):
        raise InputError(f"{folder}: has checkpoints already; give a new folder")
    if any((folder / name).exists() for name in (*_SETTINGS, _BACKBONE)):
        raise InputError(f"{folder}: has settings of a run or a backbone; give a new folder")


def claim(folder: str | os.PathLike, config: Config, hierarchy: Hierarchy) -> None:
    """Raises InputError unless the folder is new or holds a run of the same settings.

    The message names every setting that differs. A run that left no checkpoint binds nobody: its
    settings may be replaced.
    """
    if os.fspath(folder) == SHIPPED:
        raise InputError(f"workdir={SHIPPED}: names the parser of the package; give another folder")
    folder = pathlib.Path(folder)
    check_folder(folder, "workdir")
    if is_backbone(folder):
        raise InputError(f"{folder}: holds an imported backbone; give another folder")
    if not saved_steps(folder):
        return
    if not all((folder / name).is_file() for name in _SETTINGS):
        raise InputError(f"{folder}: has checkpoints but no config.json; give another folder")
    old, old_hierarchy = read_settings(folder)
    before, now = flat(old), flat(config)
    free = _FREE
    if before["loss.structure"] == now["loss.structure"] == "none":
        free = _FREE | {"loss.structure_constants", "loss.structure_stride"}
    different = [
        f"config.{field}={before[field]!r}, not {value!r}"
        for field, value in now.items()
        if field not in free and value != before[field]
    ]
    if old_hierarchy != hierarchy:
        different.append(f"hierarchy {old_hierarchy.name} with other nodes, not {hierarchy.name}")
    if different:
        raise InputError(
            f"{folder}: holds a run with {'; '.join(different)}; use another folder or the same "
            "settings"
        )


def _write(folder: pathlib.Path, trees: dict[str, dict]) -> None:
    if (folder / SEAL).is_file() and _reads(folder, trees) and find_damage(folder) is None:
        return  # others may be reading: a run that resumes changes nothing
    (folder / SEAL).unlink(missing_ok=True)  # killed from here on, the folder is not sealed
    for name, tree in trees.items():
        write_json(folder / name, tree)
    seal(folder, tuple(trees))


def _reads(folder: pathlib.Path, trees: dict[str, dict]) -> bool:
    """Whether the files say what the trees say."""
    try:
        return all(
            json.loads((folder / name).read_bytes()) == json.loads(json.dumps(tree))
            for name, tree in trees.items()
        )
    except (OSError, ValueError):
        return False


def _read(folder: pathlib.Path, names: tuple[str, ...]) -> list[dict]:
    trees = []
    for name in names:
        if not (folder / name).is_file():
            raise InputError(
                f"{folder}: not a workdir (no {name}); give the one of a run, or restore the file"
            )
        try:
            trees.append(json.loads((folder / name).read_bytes()))
        except ValueError as error:
            raise InputError(f"{folder / name}: not JSON ({error}); restore the file") from error
    if problem := find_damage(folder):  # JSON that is read can still say something else
        raise InputError(
            f"{problem}; restore the file, or, if you edited it yourself, remove {folder / SEAL}"
        )
    return trees


def _damaged(folder: pathlib.Path, names: str, error: Exception) -> InputError:
    reason = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
    return InputError(
        f"{folder}: {names} is damaged, or of another version of hparse_jax ({reason}); restore "
        "the file, or train or import again"
    )
