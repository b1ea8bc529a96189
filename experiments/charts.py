"""Bar charts of the experiments, drawn with Pillow."""

import colorsys
import pathlib
from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw, ImageFont

_LEFT, _BAR, _LINE = 330, 560, 22


def bar_chart(
    title: str,
    rows: Mapping[str, Sequence[float | None]],
    path: pathlib.Path,
    form: str = ".4f",
) -> None:
    """Writes a picture with a bar for each row's mean and a tick for each of its values.

    None is left out. form: how the mean is written.
    """
    font = ImageFont.load_default(14)
    sheet = Image.new("RGB", (_LEFT + _BAR + 90, _LINE * (len(rows) + 2)), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((8, 4), title, fill="black", font=font)
    known = [v for values in rows.values() for v in values if v is not None]
    longest = max(known, default=1.0) or 1.0
    for row, (name, values) in enumerate(rows.items(), 1):
        top = row * _LINE + 6
        middle = top + _LINE / 2
        draw.text((_LEFT - 8, middle), name, fill="black", font=font, anchor="rm")
        values = [v for v in values if v is not None]
        if not values:
            draw.text((_LEFT + 4, middle), "-", fill="black", font=font, anchor="lm")
            continue
        mean = sum(values) / len(values)
        hue = colorsys.hsv_to_rgb(row / (len(rows) + 1), 0.45, 0.9)
        fill = tuple(round(255 * channel) for channel in hue)
        right = _LEFT + _BAR * mean / longest
        draw.rectangle((_LEFT, top + 3, right, top + _LINE - 3), fill=fill, outline="black")
        for value in values if len(values) > 1 else ():
            x = _LEFT + _BAR * value / longest
            draw.line((x, top + 5, x, top + _LINE - 5), fill="black", width=2)
        draw.text(
            (_LEFT + _BAR + 8, middle), f"{mean:{form}}", fill="black", font=font, anchor="lm"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, quality=92)
