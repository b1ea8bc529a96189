"""Scores a trained parser on a labelled split, at every level of the hierarchy."""

import functools
import pathlib

from absl import flags

from hparse_jax.checkpoint import Run, load_run
from hparse_jax.commands import inference_flags
from hparse_jax.config import Config
from hparse_jax.data.dataset import BuiltDataset
from hparse_jax.errors import InputError, UsageError
from hparse_jax.hierarchy import Hierarchy
from hparse_jax.inference.correspondence import Correspondence, read_correspondence
from hparse_jax.inference.evaluate import evaluate_split
from hparse_jax.inference.groups import factors, object_sizes
from hparse_jax.inference.predictor import Predictor
from hparse_jax.models import build_model
from hparse_jax.storage import check_folder, write_json
from hparse_jax.workdir import located


def define_flags() -> None:
    inference_flags.define_flags()
    flags.adopt_module_key_flags(inference_flags)  # --help lists them
    flags.DEFINE_string("split", None, "Split to score; default: the run's config.val_split.")
    flags.DEFINE_string(
        "output",
        None,
        "JSON file; default: evaluation_SPLIT_STEP.json in the workdir, here when that is a file.",
    )
    flags.DEFINE_list("factors", [], "Scores by factor: list files of ids, or `derived`.")
    flags.DEFINE_bool("object_sizes", False, "Scores of small, medium and large objects.")
    flags.DEFINE_list(
        "input_sizes", None, "Scores at one scale with the photos' longer side at these pixels."
    )
    flags.DEFINE_string("dataset", None, "A dataset other than the one trained on.")
    flags.DEFINE_string("correspondence", None, "Classes in common with --dataset, e.g. lip_atr.")
    flags.DEFINE_integer("batch_size", None, "Photos at a time; default: config.eval_batch_size.")


def main(argv: list[str]) -> None:
    """`hparse evaluate [--workdir=DIR] [--split=val] [--scales=0.75,1,1.25] [--flip]`"""
    values = flags.FLAGS
    if argv:
        raise UsageError(f"no arguments but flags, not {' '.join(argv)}")
    inference_flags.check_positive("batch_size")
    sides = inference_flags.numbers("input_sizes", int, 17, 2048, "153,513") or ()
    side = inference_flags.side()
    if values.output and pathlib.Path(values.output).is_dir():
        raise InputError(f"--output={values.output}: is a folder; give a file, e.g. scores.json")
    if values.output:
        check_folder(pathlib.Path(values.output).absolute().parent, f"--output={values.output}")
    if values.dataset == "":
        raise InputError("--dataset=: give the name of a built dataset, e.g. atr")
    place = inference_flags.workdir()
    run = load_run(place, values.step)
    config = run.config
    dataset = inference_flags.built_dataset(config)
    split = values.split or config.val_split
    hierarchy, common = _classes(run, dataset)

    @functools.cache
    def ids() -> set[str]:
        return {record["id"].decode() for record in dataset.records(split)}

    groups = factors(values.factors, hierarchy, ids)
    groups += object_sizes() if values.object_sizes else ()
    network = build_model(config.model, run.hierarchy), run.variables, config, run.hierarchy
    predictor = functools.partial(
        Predictor,
        *network,
        step=run.step,
        flip=values.flip,
        max_side=None,
        consistent=values.consistent,
        engine=values.engine,
        precision=values.precision,
    )
    score = functools.partial(
        evaluate_split,
        dataset=dataset,
        split=split,
        hierarchy=hierarchy,
        common=common,
        batch_size=values.batch_size or config.eval_batch_size,
        progress=True,
    )
    side = config.eval_side if side is None else side
    report = score(predictor(scales=inference_flags.scales(), side=side), groups=groups)
    if common is not None:
        report |= {"trained_on": config.dataset, "correspondence": values.correspondence}
    for shown in sides:
        at_side = score(predictor(side=shown, scales=(1.0,)))
        report.setdefault("input_sizes", {})[str(shown)] = at_side["levels"][0]
    folder = located(place) if located(place).is_dir() else pathlib.Path()
    output = pathlib.Path(values.output or folder / _name(report, config))
    write_json(output, report)
    print(table(report))
    print(f"written to {output}")


def _classes(run: Run, dataset: BuiltDataset) -> tuple[Hierarchy, Correspondence | None]:
    """The hierarchy of the dataset's labels, and the classes to score when they are others."""
    correspondence, built = flags.FLAGS.correspondence, dataset.hierarchy
    if correspondence is not None:
        return built, read_correspondence(correspondence, run.hierarchy, built)
    same = built.levels[0].nodes == run.hierarchy.levels[0].nodes
    if dataset.name != run.config.dataset and not same:
        raise InputError(
            f"--dataset={dataset.name}: has the classes of hierarchy {built.name}, the parser "
            f"those of {run.hierarchy.name}; add --correspondence"
        )
    return run.hierarchy, None


def _name(report: dict, config: Config) -> str:
    words = [] if report["dataset"] == config.dataset else [report["dataset"]]
    if "correspondence" in report:
        words.append(pathlib.Path(report["correspondence"]).stem)
    return "_".join(["evaluation", *words, report["split"], f"{report['step']}.json"])


def table(report: dict) -> str:
    """The report as text: per level the classes, then the means of both metric families."""
    views = "scales " + ", ".join(f"{s:g}" for s in report["scales"])
    views += " with flip" if report["flip"] else ""
    views += f" of photos with longer side {report['side']}" if report["side"] else ""
    views += ", consistent" if report["consistent"] else ""
    views += f", {report['engine']} {report['precision']}"
    lines = [
        f"{report['dataset']} {report['split']}, step {report['step']}, {report['images']} photos, "
        f"{views}; in %"
    ]
    for level in report["levels"]:
        width = max(map(len, level["per_class"]))
        columns = ("iou", "precision", "recall", "f1")
        heading = "".join(f"{c:>11}" for c in ("IoU", *columns[1:]))
        lines += ["", f"{level['name']:{width}}{heading}"]
        for name, scores in level["per_class"].items():
            lines.append(f"{name:{width}}" + "".join(_percent(scores[c]) for c in columns))
        means = (level["mean_iou"], level["precision"], level["recall"], level["mean_of_f1"])
        lines.append(f"{'mean':{width}}" + "".join(map(_percent, means)))
        for text, key in (
            ("pixel accuracy", "pixel_accuracy"),
            ("mean accuracy", "mean_accuracy"),
            ("foreground accuracy", "foreground_accuracy"),
            ("F1 of mean precision and recall", "f1_of_means"),
        ):
            lines.append(f"  {text:32}{_percent(level[key])}")
    for analysis in ("factors", "object_sizes", "input_sizes"):
        if analysis in report:
            lines += ["", f"{analysis.replace('_', ' '):20}{'mean IoU':>11}{'photos':>9}"]
            for name, scores in report[analysis].items():
                images = scores.get("images", report["images"])
                note = " (derived from labels)" if scores.get("derived") else ""
                lines.append(f"{name:20}{_percent(scores['mean_iou'])}{images:9}{note}")
    return "\n".join(lines)


def _percent(fraction: float | None) -> str:
    return f"{'-':>11}" if fraction is None else f"{100 * fraction:11.2f}"
