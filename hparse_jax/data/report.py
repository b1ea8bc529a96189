"""One picture of a built dataset: photos with their labels at every level, and its classes.

Shows at a glance whether labels and hierarchy are right; the chart of the classes follows LIP's
Figure 3.
"""

import pathlib

import cv2
import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from hparse_jax.config import Config
from hparse_jax.data.stream import decode, open_split
from hparse_jax.hierarchy import IGNORE, Hierarchy, hierarchy_from_json
from hparse_jax.render import contact_sheet, overlay, picture_jpeg, with_legend

REPORT = "report.jpg"
_SAMPLES = 6
_HEIGHT, _WIDEST = 320, 960  # pixels of a photo in the picture


def draw_report(builder: tfds.core.DatasetBuilder) -> pathlib.Path:
    """Writes the picture beside the dataset's files and returns its path."""
    hierarchy = hierarchy_from_json(builder.info.metadata["hierarchy"])
    split = next(iter(builder.info.splits))
    config = Config(dataset=builder.name, data_dir=str(builder.data_path.parent.parent))
    records = open_split(config, split)
    rows = []
    for index in np.linspace(0, len(records) - 1, min(_SAMPLES, len(records))).astype(int):
        _, image, labels = decode(records[int(index)], hierarchy)
        rows.append(_row(image, labels, hierarchy))
    samples = contact_sheet(rows, _HEIGHT)
    picture = _stacked(_chart(builder, hierarchy), samples)
    path = pathlib.Path(builder.data_path) / REPORT
    path.write_bytes(picture_jpeg(picture))
    return path


def _row(image: np.ndarray, labels: np.ndarray, hierarchy: Hierarchy) -> list[np.ndarray]:
    scale = min(_HEIGHT / image.shape[0], _WIDEST / image.shape[1])
    size = tuple(max(1, round(side * scale)) for side in image.shape[1::-1])
    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    labels = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST)
    row = [image]
    for depth, level in enumerate(hierarchy.levels):
        palette = hierarchy.palette_at(depth)
        nodes = hierarchy.labels_at(depth, labels)
        shown = np.where(nodes == IGNORE, 0, nodes).astype(np.uint8)
        picture = overlay(image, shown, palette)
        row.append(with_legend(picture, shown, level.nodes, palette))
    return row


def _chart(builder: tfds.core.DatasetBuilder, hierarchy: Hierarchy) -> UInt8[np.ndarray, "H W 3"]:
    """Bars: how many photos of all splits hold each class; behind them its share of the pixels."""
    metadata = builder.info.metadata
    nodes = hierarchy.levels[0].nodes
    photos = np.array([sum(s[leaf] for s in metadata["photos_with"].values()) for leaf in nodes])
    pixels = np.array([sum(s[leaf] for s in metadata["pixels"].values()) for leaf in nodes])
    counted = max(1, pixels.sum())
    order = sorted(range(1, len(nodes)), key=lambda i: -photos[i])
    line, left, bar, text = 20, 170, 480, 150
    sheet = Image.new("RGB", (left + bar + text, line * (len(order) + 2)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    counts = ", ".join(f"{s.num_examples} {name}" for name, s in builder.info.splits.items())
    title = f"{builder.name}: {counts} photos. Photos with each class, and its share of all pixels"
    draw.text((8, 4), title, fill="black", font=font)
    for row, i in enumerate(order, 1):
        top = row * line + 6
        length = round(bar * photos[i] / max(1, photos[1:].max()))
        draw.text((left - 8, top + line / 2), nodes[i], fill="black", font=font, anchor="rm")
        box = (left, top + 3, left + length, top + line - 3)
        draw.rectangle(box, fill=tuple(hierarchy.palette[i]), outline="black")
        share = f"{photos[i]} ({pixels[i] / counted:.2%})"
        draw.text((left + length + 8, top + line / 2), share, fill="black", font=font, anchor="lm")
    return np.asarray(sheet)


def _stacked(top: np.ndarray, bottom: np.ndarray) -> UInt8[np.ndarray, "H W 3"]:
    width = max(top.shape[1], bottom.shape[1])
    sheet = np.full((len(top) + len(bottom), width, 3), 255, np.uint8)
    sheet[: len(top), : top.shape[1]] = top
    sheet[len(top) :, : bottom.shape[1]] = bottom
    return sheet
