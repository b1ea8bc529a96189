"""One picture of a built dataset: its classes, and photos with their labels at every level.

Shows at a glance whether labels and hierarchy are right; the chart of the classes follows LIP's
Figure 3.
"""

import importlib.util

import cv2
import numpy as np
from jaxtyping import UInt8

from hparse_jax.data.dataset import BuiltDataset, decode
from hparse_jax.errors import InputError
from hparse_jax.hierarchy import IGNORE, Hierarchy
from hparse_jax.render import contact_sheet, overlay, picture_jpeg, with_legend
from hparse_jax.storage import write_bytes

REPORT = "report.jpg"
_SAMPLES = 6
_HEIGHT, _WIDEST = 320, 960  # pixels of a photo in the picture
_CHART, _DOTS = 1200, 100  # pixels: width of the chart, an inch of it


def require_matplotlib() -> None:
    """Raises InputError when matplotlib, which the chart needs, is not installed."""
    if importlib.util.find_spec("matplotlib") is None:
        raise InputError("report needs matplotlib: pip install 'hparse_jax[charts]'")


def draw_report(dataset: BuiltDataset) -> None:
    """Writes the picture beside the dataset's files."""
    records = dataset.records(next(iter(dataset.splits)))
    rows = []
    for index in np.linspace(0, len(records) - 1, min(_SAMPLES, len(records))).astype(int):
        _, image, labels = decode(records[int(index)], dataset.hierarchy)
        rows.append(_row(image, labels, dataset.hierarchy))
    parts = _chart(dataset), contact_sheet(rows, _HEIGHT)
    width = max(part.shape[1] for part in parts)
    padded = [
        np.pad(part, ((0, 0), (0, width - part.shape[1]), (0, 0)), constant_values=255)
        for part in parts
    ]
    write_bytes(dataset.folder / REPORT, picture_jpeg(np.concatenate(padded)))


def _row(image: np.ndarray, labels: np.ndarray, hierarchy: Hierarchy) -> list[np.ndarray]:
    scale = min(_HEIGHT / image.shape[0], _WIDEST / image.shape[1])
    size = tuple(max(1, round(side * scale)) for side in image.shape[1::-1])
    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    labels = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST)
    labels[labels == IGNORE] = 0
    row = [image]
    for depth, level in enumerate(hierarchy.levels):
        palette, nodes = hierarchy.palette_at(depth), hierarchy.labels_at(depth, labels)
        row.append(with_legend(overlay(image, nodes, palette), nodes, level.nodes, palette))
    return row


def _chart(dataset: BuiltDataset) -> UInt8[np.ndarray, "H W 3"]:
    """Bars for each class but background: the photos that hold it, and its share of the pixels."""
    import matplotlib  # an extra, and slow to import
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    nodes = dataset.hierarchy.levels[0].nodes
    photos, pixels = (
        np.array([sum(split[leaf] for split in dataset.metadata[key].values()) for leaf in nodes])
        for key in ("photos_with", "pixels")
    )
    shares = 100 * pixels / max(1, pixels.sum())
    order = np.array(sorted(range(1, len(nodes)), key=lambda i: -photos[i]), int)
    counts = ", ".join(f"{photos} {split}" for split, photos in dataset.splits.items())
    # whatever the user's matplotlibrc says, the same picture
    with matplotlib.rc_context(matplotlib.rcParamsDefault):
        size = _CHART / _DOTS, 1.1 + 0.24 * len(order)
        figure = Figure(size, _DOTS, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        figure.get_layout_engine().set(w_pad=0.12, h_pad=0.08)  # inches
        figure.suptitle(f"{dataset.name}: {counts} photos", x=0.012, ha="left", fontsize=13)
        panels = figure.subplots(1, 2, sharey=True)
        for axes, title, values, text in (
            (panels[0], "photos that hold the class", photos, "{:,.0f}"),
            (panels[1], "share of all pixels", shares, "{:.2f} %"),
        ):
            colours = np.array(dataset.hierarchy.palette)[order] / 255
            bars = axes.barh(range(len(order)), values[order], color=colours, edgecolor="black")
            axes.bar_label(bars, [text.format(v) for v in values[order]], padding=3, fontsize=9)
            axes.set_title(title, loc="left", fontsize=11)
            axes.set_yticks(range(len(order)), [nodes[i] for i in order])
            axes.tick_params("y", length=0, labelsize=10)
            axes.set_xticks([])
            axes.margins(x=0.18, y=0.01)
            axes.spines[["top", "right", "bottom"]].set_visible(False)
        panels[0].invert_yaxis()  # the most frequent class on top; both panels share the axis
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
