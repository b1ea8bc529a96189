"""CNIF's figures 4 to 6 for a trained run: what every level sees, and how far each node trusts its
sources.

    python experiments/cnif/figures.py --workdir=runs/ablation/full/seed0 --output=gates.png
    python experiments/cnif/figures.py --workdir=runs/ablation/full/seed0 --output=figure6.png \\
        --beside=runs/ablation/backbone/seed0,runs/ablation/both/seed0 street.jpg party.jpg

A row for each photo: the photo, its labels if it is of a built split, the finest level of the runs
in --beside, every level of the run itself, and its gates (Eq. 15 and 16): for every node the
confidence in direct, top-down and bottom-up inference, the darker the higher. Without PHOTOs the
first ones of the run's validation split are shown.
"""

import argparse
import itertools
import pathlib
import sys
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Float, UInt8

from hparse_jax.data.dataset import BuiltDataset
from hparse_jax.errors import InputError
from hparse_jax.hierarchy import Hierarchy
from hparse_jax.inference.photos import read_photo
from hparse_jax.inference.predictor import Predictor, load_parser
from hparse_jax.render import overlay

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from charts import Figure  # which names the remedy where matplotlib is missing

SOURCES = ("direct", "top_down", "bottom_up")
_LINE, _CELL = 0.13, 0.4  # inches: the height of a node's line and the width of a source's column
_SHOWN = 0.75  # width of a picture by its row's height

Picture = UInt8[np.ndarray, "h w 3"]
Table = Float[np.ndarray, "nodes sources"]


def main() -> None:
    flags = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    flags.add_argument("--workdir", required=True, help="a run with gates")
    flags.add_argument("--output", required=True, metavar="FILE.png")
    flags.add_argument("--beside", default="", metavar="RUN,...", help="other runs")
    flags.add_argument("--split", help="of the photos; default: the run's config.val_split")
    flags.add_argument("--data_dir", help="of the built dataset; default: as trained")
    flags.add_argument("--count", type=int, default=4, help="photos of the split; default: 4")
    flags.add_argument("photos", nargs="*", metavar="PHOTO", help="files instead of a split")
    arguments = flags.parse_args()
    if not arguments.output.endswith(".png"):
        raise InputError(f"--output={arguments.output}: must end in .png")
    if arguments.count < 1:
        raise InputError(f"--count={arguments.count}: give a number above 0")
    parser = load_parser(arguments.workdir)
    if not isinstance(parser, Predictor) or parser.config.model.fusion != "conditional":
        raise InputError(
            f"--workdir={arguments.workdir}: has no gates; give a run of the full model"
        )
    others = {name: load_parser(name) for name in arguments.beside.split(",") if name}
    if arguments.photos:
        photos = ((read_photo(path), None) for path in arguments.photos)
    else:
        photos = of_split(parser, arguments)
    rows = [row_of(image, truth, parser, others) for image, truth in photos]
    output = pathlib.Path(arguments.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    drawn = figure(rows, node_names(parser.hierarchy))
    drawn.savefig(output, format="png", metadata={"Software": None})
    print(f"written to {output}")


def of_split(parser: Predictor, arguments: argparse.Namespace) -> Iterator[tuple]:
    """(image, labels) of the first photos of the split."""
    config = parser.config
    dataset = BuiltDataset(config.dataset, arguments.data_dir or config.data_dir)
    photos = dataset.photos(arguments.split or config.val_split, parser.hierarchy)
    return ((image, truth) for _, image, truth in itertools.islice(photos, arguments.count))


def row_of(
    image: Picture,
    truth: UInt8[np.ndarray, "h w"] | None,
    parser: Predictor,
    others: Mapping[str, Predictor],
) -> tuple[dict[str, Picture], Table]:
    """(title -> picture from left to right, gates of every node) of a photo."""
    palette_at, result = parser.hierarchy.palette_at, parser(image)
    pictures = {"photo": image}
    if truth is not None:
        pictures["labels"] = overlay(image, truth, palette_at(0))
    for name, other in others.items():
        title = "/".join(pathlib.Path(name).parts[-2:])
        pictures[title] = overlay(image, other(image).labels, other.hierarchy.palette_at(0))
    for level, labels in enumerate(result.levels):
        name = parser.hierarchy.levels[level].name
        pictures[name] = overlay(image, labels, palette_at(level))
    return pictures, gate_table(result.gates)


def node_names(hierarchy: Hierarchy) -> list[str]:
    """All nodes but background, the finest level first."""
    return [node for level in hierarchy.levels for node in level.nodes[1:]]


def gate_table(gates: Sequence[Mapping[str, Float[np.ndarray, " _"]]]) -> Table:
    """The gates by node, in the order of `node_names`, and source; nan where there is none."""
    return np.concatenate(
        [
            np.stack(
                [level.get(source, np.full_like(level["direct"], np.nan)) for source in SOURCES], -1
            )[1:]
            for level in gates
        ]
    )


def figure(rows: Sequence[tuple[dict[str, Picture], Table]], nodes: Sequence[str]) -> Figure:
    """A row for each photo: its pictures and a table of its gates, darker for higher ones."""
    titles = list(rows[0][0])
    height = _LINE * len(nodes) + 0.5
    widths = [_SHOWN * height] * len(titles) + [_CELL * len(SOURCES) + 1]
    drawn = Figure((sum(widths), len(rows) * height), dpi=150, layout="constrained")
    grid = drawn.subplots(len(rows), len(widths), squeeze=False, width_ratios=widths)
    for cells, (pictures, gates) in zip(grid, rows, strict=True):
        for axes, picture in zip(cells, pictures.values(), strict=False):
            axes.imshow(picture)
            axes.axis("off")
        _draw_gates(cells[-1], gates, nodes)
    for axes, title in zip(grid[0], [*titles, "gates"], strict=True):
        axes.set_title(title, fontsize=8)
    return drawn


def _draw_gates(axes, gates: Table, nodes: Sequence[str]) -> None:
    axes.imshow(gates, cmap="Greys", vmin=0, vmax=1, aspect="auto")
    for (line, column), gate in np.ndenumerate(gates):
        if not np.isnan(gate):
            colour = "white" if gate > 0.5 else "black"
            axes.text(
                column, line, f"{gate:.2f}", ha="center", va="center", fontsize=5, color=colour
            )
    axes.set_yticks(range(len(nodes)), nodes, fontsize=5)
    axes.set_xticks(range(len(SOURCES)), [s.replace("_", "-") for s in SOURCES], fontsize=5)
    axes.tick_params(length=0)


if __name__ == "__main__":
    try:
        main()
    except (InputError, OSError) as error:
        sys.exit(f"figures: {error}")
