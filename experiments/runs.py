"""What the scripts that train runs share: fields of a config by name, a run's scores."""

import functools
import json
import pathlib
from collections.abc import Mapping

from hparse_jax.config import Config
from hparse_jax.data.dataset import BuiltDataset
from hparse_jax.inference.evaluate import evaluate_split
from hparse_jax.inference.predictor import load_parser
from hparse_jax.storage import write_json

EVALUATION = "evaluation.json"  # of a run, written when all its steps are done


def set_fields(config: Config, fields: Mapping[str, object]) -> Config:
    """The config with fields set by their dotted names, e.g. "model.depth"."""
    for name, value in fields.items():
        *groups, last = name.split(".")
        setattr(functools.reduce(getattr, groups, config), last, value)
    return config


def score(workdir: pathlib.Path, config: Config, flip: bool = False) -> dict:
    """The evaluate JSON of the run's last step, from its file where that was made in this way."""
    file = workdir / EVALUATION
    views = {"scales": config.eval_scales, "side": config.eval_side, "flip": flip}
    wanted = views | {"scales": list(config.eval_scales), "split": config.val_split}
    report = json.loads(file.read_text()) if file.exists() else {}
    if any(report.get(key) != value for key, value in wanted.items()):
        parser = load_parser(workdir, **views, max_side=None)
        report = evaluate_split(
            parser,
            BuiltDataset(config.dataset, config.data_dir),
            config.val_split,
            parser.hierarchy,
            batch_size=config.eval_batch_size,
            progress=True,
        )
        write_json(file, report)
    return report
