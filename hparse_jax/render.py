"""Label maps as images: indexed PNGs, overlays with a legend, contact sheets."""

import io
from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from hparse_jax.hierarchy import IGNORE

OPACITY = 0.6  # of the colours blended over the photo
_ROWS = 256  # an overlay is made in strips of this many rows, which bounds its memory


def label_png(
    labels: UInt8[np.ndarray, "h w"], palette: UInt8[np.ndarray, "nodes 3"] | None
) -> bytes:
    """A PNG whose pixel values are node ids: indexed with the palette, or greyscale without one."""
    image = Image.fromarray(labels)
    if palette is not None:
        # all 256 entries: with fewer, the ids would be packed into 1, 2 or 4 bits
        rest = np.zeros((256 - len(palette), 3), np.uint8)
        image.putpalette(np.concatenate([palette, rest]).tobytes())
    return _encoded(image, "PNG")


def picture_png(image: UInt8[np.ndarray, "h w c"]) -> bytes:
    """An RGB or RGBA image as PNG."""
    return _encoded(Image.fromarray(image), "PNG")


def picture_jpeg(image: UInt8[np.ndarray, "h w 3"]) -> bytes:
    """An RGB image as JPEG."""
    return _encoded(Image.fromarray(image), "JPEG", quality=90, subsampling=0)


def overlay(
    image: UInt8[np.ndarray, "h w 3"],
    labels: UInt8[np.ndarray, "h w"],
    palette: UInt8[np.ndarray, "nodes 3"],
    opacity: float | int = OPACITY,
) -> UInt8[np.ndarray, "h w 3"]:
    """The photo with every foreground pixel blended with its node's colour, outlines in white."""
    blended = np.empty_like(image)
    for top in range(0, len(labels), _ROWS):
        rows = slice(top, top + _ROWS)
        own = labels[rows]
        above = np.concatenate([labels[max(0, top - 1)][None], own[:-1]])
        foreground = (own > 0) & (own < len(palette))
        colours = palette[np.where(foreground, own, 0)]
        mixed = cv2.addWeighted(image[rows], 1 - opacity, colours, opacity, 0)
        np.copyto(mixed, image[rows], where=~foreground[..., None])
        edge = own != above
        edge[:, 1:] |= own[:, 1:] != own[:, :-1]
        mixed[edge] = mixed[edge] // 2 + 127
        blended[rows] = mixed
    return blended


def with_legend(
    picture: UInt8[np.ndarray, "h w 3"],
    labels: UInt8[np.ndarray, "h w"],
    names: Sequence[str],
    palette: UInt8[np.ndarray, "nodes 3"],
) -> UInt8[np.ndarray, "H W 3"]:
    """The picture with a legend on its right: colour and name of every node in `labels`.

    The font grows with the picture from 12 pixels on; the legend may be higher than a small
    picture. Background is not listed.
    """
    height, width = labels.shape
    size = max(12, round(max(height, width) / 36))
    font = ImageFont.load_default(size)
    present = [i for i in np.unique(labels).tolist() if i not in (0, IGNORE)]
    line, margin = round(size * 1.5), round(size * 0.6)
    widest = max((font.getlength(names[i]) for i in present), default=0)
    panel = round(widest) + size + 3 * margin if present else 0
    sheet = Image.new(
        "RGB", (width + panel, max(height, line * len(present) + 2 * margin)), "white"
    )
    sheet.paste(Image.fromarray(picture), (0, 0))
    draw = ImageDraw.Draw(sheet)
    for row, node in enumerate(present):
        left, top = width + margin, margin + row * line
        box = (left, top, left + size, top + size)
        draw.rectangle(box, fill=tuple(palette[node].tolist()), outline="black")
        middle = (left + size + margin, top + size / 2)
        draw.text(middle, names[node], fill="black", font=font, anchor="lm")
    return np.asarray(sheet)


def contact_sheet(
    rows: Sequence[Sequence[UInt8[np.ndarray, "_ _ 3"]]], height: int
) -> UInt8[np.ndarray, "H W 3"]:
    """Images of any size as a table on white: every cell scaled to `height`, columns aligned."""
    gap = 8
    cells = [[_scaled(picture, height) for picture in row] for row in rows]
    columns = max(len(row) for row in cells)
    widths = [max(row[c].width for row in cells if c < len(row)) for c in range(columns)]
    size = (sum(widths) + gap * (columns + 1), len(rows) * (height + gap) + gap)
    sheet = Image.new("RGB", size, "white")
    for r, row in enumerate(cells):
        for c, cell in enumerate(row):
            left = gap * (c + 1) + sum(widths[:c]) + (widths[c] - cell.width) // 2
            sheet.paste(cell, (left, gap + r * (height + gap)))
    return np.asarray(sheet)


def _scaled(picture: np.ndarray, height: int) -> Image.Image:
    width = max(1, round(picture.shape[1] * height / picture.shape[0]))
    return Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS)


def _encoded(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
