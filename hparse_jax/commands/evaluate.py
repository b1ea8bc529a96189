"""The verb `evaluate`: scores of a trained parser on a labelled split, for every level."""

import dataclasses
import functools
import json
import pathlib

from absl import flags

from hparse_jax.checkpoint import load_run
from hparse_jax.config import Config
from hparse_jax.data.stream import dataset_hierarchy, open_split
from hparse_jax.errors import InputError, UsageError
from hparse_jax.inference.correspondence import read_correspondence
from hparse_jax.inference.evaluate import evaluate, table
from hparse_jax.inference.groups import factors, object_sizes
from hparse_jax.inference.multiscale import parse_scales
from hparse_jax.models import build_model
from hparse_jax.storage import write_bytes

_INPUT_SIZES = (17, 2048)  # pixels of the longer side


def define_flags() -> None:
    """The flags of `hparse evaluate`."""
    flags.DEFINE_string("workdir", None, "The folder of the training run.", required=True)
    flags.DEFINE_integer("step", None, "Step of the checkpoint; default: the last one.")
    flags.DEFINE_string("split", None, "Split to score; default: the run's config.val_split.")
    flags.DEFINE_list("scales", None, "Scales to average; default: the run's config.eval_scales.")
    flags.DEFINE_bool("flip", False, "Average over mirrored photos too.")
    flags.DEFINE_string("output", None, "JSON file; default: WORKDIR/evaluation_SPLIT_STEP.json.")
    flags.DEFINE_string("data_dir", None, "Where the built dataset lies; default: as trained.")
    flags.DEFINE_list("factors", [], "Scores by factor: list files of ids, or `derived`.")
    flags.DEFINE_bool("object_sizes", False, "Scores of small, medium and large objects.")
    flags.DEFINE_list(
        "input_sizes", [], "Scores at one scale with the photos' longer side at these pixels."
    )
    flags.DEFINE_string("dataset", None, "A dataset other than the one trained on.")
    flags.DEFINE_string("correspondence", None, "Classes in common with --dataset, e.g. lip_atr.")
    flags.DEFINE_integer("batch_size", None, "Photos at a time; default: config.eval_batch_size.")


def main(argv: list[str]) -> int | None:
    """`hparse evaluate --workdir=DIR [--split=val] [--scales=0.75,1,1.25] [--flip]`."""
    values = flags.FLAGS
    if argv:
        raise UsageError(f"no arguments but flags, not {' '.join(argv)}")
    run = load_run(values.workdir, values.step)
    changes = {
        "data_dir": values.data_dir,
        "eval_batch_size": values.batch_size,
        "dataset": values.dataset,
    }
    config = dataclasses.replace(run.config, **{k: v for k, v in changes.items() if v is not None})
    if config.eval_batch_size < 1:
        raise InputError(f"--batch_size={config.eval_batch_size}: give a number above 0")
    if not config.dataset:
        raise InputError("--dataset=: give the name of a built dataset, e.g. atr")
    if values.output and pathlib.Path(values.output).is_dir():
        raise InputError(f"--output={values.output}: is a folder; give a file, e.g. scores.json")
    split = values.split or config.val_split
    common = None
    if values.correspondence is not None:
        scored = dataset_hierarchy(dataclasses.replace(config, hierarchy=""))
        common = scored, read_correspondence(values.correspondence, run.hierarchy, scored)
    elif config.dataset != run.config.dataset:
        scored = dataset_hierarchy(dataclasses.replace(config, hierarchy=""))
        if scored.levels[0].nodes != run.hierarchy.levels[0].nodes:
            raise InputError(
                f"--dataset={config.dataset}: has the classes of hierarchy {scored.name}, the "
                f"parser those of {run.hierarchy.name}; add --correspondence"
            )
    labels_of = run.hierarchy if common is None else common[0]
    groups = factors(
        values.factors, labels_of, functools.cache(functools.partial(_ids, config, split))
    )
    groups += object_sizes() if values.object_sizes else ()
    sides = _sides(values.input_sizes)
    score = functools.partial(
        evaluate,
        run.variables,
        build_model(config.model, run.hierarchy),
        config,
        run.hierarchy,
        split=split,
        scales=parse_scales(values.scales),
        flip=values.flip,
        step=run.step,
        progress=True,
        common=common,
    )
    report = score(groups=groups)
    if common is not None:
        report["trained_on"] = run.config.dataset
        report["correspondence"] = values.correspondence
    for side in sides:
        at_side = score(side=side, scales=(1.0,))["levels"][0]
        report.setdefault("input_sizes", {})[str(side)] = at_side
    other = "" if config.dataset == run.config.dataset else f"{config.dataset}_"
    if common is not None:
        other += f"{pathlib.Path(values.correspondence).stem}_"
    name = f"evaluation_{other}{report['split']}_{report['step']}.json"
    output = pathlib.Path(values.output or pathlib.Path(values.workdir) / name)
    write_bytes(output, json.dumps(report, indent=1).encode())
    print(table(report))
    print(f"written to {output}")


def _ids(config: Config, split: str) -> set[str]:
    records = open_split(config, split)
    return {records[i]["id"].decode() for i in range(len(records))}


def _sides(texts: list[str]) -> list[int]:
    low, high = _INPUT_SIZES
    if not all(text.isdecimal() and low <= int(text) <= high for text in texts):
        raise InputError(
            f"--input_sizes={','.join(texts)}: give whole numbers in {low}..{high}, e.g. 153,513"
        )
    return [int(text) for text in texts]
