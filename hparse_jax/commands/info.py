"""Shows what a trained parser or an imported backbone is, without reading its weights."""

import functools
import textwrap
from collections.abc import Iterator

import jax
from absl import flags

from hparse_jax.commands import inference_flags
from hparse_jax.config import Config, flat, shown
from hparse_jax.errors import InputError, UsageError
from hparse_jax.hierarchy import Hierarchy
from hparse_jax.models.build import NETWORKS
from hparse_jax.summary import Summary, summarise
from hparse_jax.workdir import BackboneSettings

_SAID = {"dataset", "train_split", "data_dir", "init_from", "model.name", "model.depth"}


def define_flags() -> None:
    flags.DEFINE_string(
        "workdir",
        None,
        "The folder of a training run or of an imported backbone, or a file that `hparse pack` "
        "made. Default: the parser that comes with the package.",
    )
    flags.DEFINE_list(
        "size",
        None,
        "HEIGHT,WIDTH in pixels of the photograph whose operations are counted. Default: "
        "config.crop.",
    )


def main(argv: list[str]) -> None:
    """`hparse info [--workdir=RUN_OR_FILE] [--size=H,W]`

    Classes, levels, training data, steps, the scores that `hparse evaluate` left in the folder,
    size on disk, parameters, and the operations that one photograph costs.
    """
    if argv:
        raise UsageError(f"no arguments but flags, not {' '.join(argv)}")
    size = inference_flags.numbers("size", int, 17, 4096, "473,473")
    if size is not None and len(size) != 2:
        raise InputError(f"--size={','.join(map(str, size))}: give HEIGHT,WIDTH, e.g. 473,473")
    # Nothing is computed: an accelerator, which a training may hold, is left alone.
    jax.config.update("jax_platforms", "cpu")
    print(text(summarise(inference_flags.workdir(), size)))


def text(summary: Summary) -> str:
    """The summary as lines of at most 100 columns where words allow, then the tree of classes."""
    settings, hierarchy = summary.settings, summary.hierarchy
    packed = summary.place.is_file()
    newest, whole = (f"{count / 1e6:.1f} MB" for count in summary.bytes)
    height, width = summary.size
    rows = [("note", summary.note)]
    rows += _backbone(settings) if hierarchy is None else _run(settings, packed)
    rows += [
        ("step", _steps(summary.steps)),
        (
            "size on disk",
            newest if packed else f"{newest}; with all there is in the folder {whole}",
        ),
        ("parameters", f"{summary.parameters:,}"),
        (
            "operations",
            f"{summary.operations / 1e9:.3g} GFLOP for one photograph {height} pixels high and "
            f"{width} wide at one scale, additions and multiplications as XLA counts them",
        ),
    ]
    if hierarchy is not None:
        rows += [] if packed else _scores(summary.scores)
        counts = ", ".join(f"{level.name} {len(level.nodes)}" for level in hierarchy.levels)
        rows.append(("classes", f"{counts}, background included; below with their ids"))
    column = max(len(name) for name, _ in rows) + 2
    fill = functools.partial(
        textwrap.fill, width=100, subsequent_indent=" " * column, break_on_hyphens=False
    )
    lines = [
        str(summary.place),
        *(fill(f"{name:{column}}{value}") for name, value in rows if value),
    ]
    return "\n".join(lines if hierarchy is None else [*lines, "", *tree(hierarchy)])


def tree(hierarchy: Hierarchy) -> Iterator[str]:
    """The tree of classes, a node a line with its id in the label map of its level."""
    yield "0 background"
    root = len(hierarchy.levels) - 1
    for node, name in list(enumerate(hierarchy.levels[root].nodes))[1:]:
        yield f"{node} {name}"
        yield from _branches(hierarchy, root, node)


def _branches(hierarchy: Hierarchy, level: int, node: int) -> Iterator[str]:
    if level == 0:
        return
    finer = hierarchy.levels[level - 1]
    children = [child for child, parent in enumerate(finer.parents) if parent == node]
    for child in children:
        fork, trunk = ("└─ ", "   ") if child == children[-1] else ("├─ ", "│  ")
        yield f"{fork}{child} {finer.nodes[child]}"
        yield from (trunk + line for line in _branches(hierarchy, level - 1, child))


def _run(config: Config, packed: bool) -> list[tuple[str, str]]:
    """packed: paths were left out of its config."""
    model, default = config.model, flat(Config())
    place = "" if packed else f", in {config.data_dir}"
    start = f", started from {config.init_from}" if config.init_from else ""
    different = [
        f"{field}={shown(value)}"
        for field, value in flat(config).items()
        if field not in _SAID and value != default[field]
    ]
    network = f"{model.name}, {_kind(NETWORKS[model.name].backbone, model.depth)}"
    return [
        ("network", network),
        ("trained on", f"{config.dataset}, split {config.train_split}{place}{start}"),
        ("settings", " ".join(different) or "the defaults"),
    ]


def _backbone(settings: BackboneSettings) -> list[tuple[str, str]]:
    classifier = " with fc6 and fc7" if settings.classifier else ""
    return [
        ("backbone", f"{_kind(settings.name, settings.model.depth)}{classifier}, imported"),
        ("input", f"{settings.channels}, mean {shown(settings.mean)}, std {shown(settings.std)}"),
        ("use", "config.init_from of a training; it parses nothing by itself"),
    ]


def _kind(backbone: str, depth: int) -> str:
    return f"ResNet-{depth}" if backbone == "resnet" else "VGG-16"


def _steps(steps: tuple[int, ...]) -> str:
    if not steps:
        return "no checkpoint yet"
    others = ", ".join(map(str, steps[:-1]))
    return f"{steps[-1]}" + (f"; earlier ones: {others}" if others else "")


def _scores(reports: dict[str, dict | None]) -> list[tuple[str, str]]:
    rows = []
    for name, report in reports.items():
        if report is None:
            rows.append(("scores", f"{name}: not a report of `hparse evaluate`"))
            continue
        means = ", ".join(f"{x['name']} {x['mean_iou']:.3f}" for x in report["levels"])
        views = "scales " + ", ".join(f"{s:g}" for s in report["scales"])
        views += " with flip" if report["flip"] else ""
        where = f"{report.get('dataset', '')} {report['split']}, step {report['step']}"
        rows.append(("scores", f"mean IoU {means} ({where}, {report['images']} photos, {views})"))
    return rows or [("scores", "none in the folder; `hparse evaluate` writes them there")]
