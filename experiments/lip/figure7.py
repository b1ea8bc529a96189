"""LIP Figure 7: joints of the ground truth and of the prediction over photos of a built split.

    python experiments/lip/figure7.py --workdir=runs/attention --output=figure7.jpg --photos=8

A joint is the centre of its region, taken on every 4th pixel here.
"""

import argparse
import colorsys
import itertools
import sys
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int, UInt8
from PIL import Image, ImageDraw, ImageFont

from hparse_jax.data.dataset import BuiltDataset
from hparse_jax.errors import InputError
from hparse_jax.inference.predictor import load_parser
from hparse_jax.joints import joint_centres, require_joints
from hparse_jax.render import contact_sheet, picture_jpeg
from hparse_jax.storage import write_bytes

_STRIDE = 4  # pixels between the grid points on which joints are taken


def main() -> None:
    flags = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    flags.add_argument("--workdir", required=True)
    flags.add_argument("--output", required=True)
    flags.add_argument("--split")
    flags.add_argument("--data_dir")
    flags.add_argument("--photos", type=int, default=8)
    arguments = flags.parse_args()
    if arguments.photos < 1:
        raise InputError(f"--photos={arguments.photos}: give a number above 0")
    parser = load_parser(arguments.workdir)
    if not hasattr(parser, "hierarchy"):
        raise InputError(f"--workdir={arguments.workdir}: an imported backbone parses nothing")
    hierarchy, config = parser.hierarchy, parser.config
    require_joints(hierarchy)
    dataset = BuiltDataset(config.dataset, arguments.data_dir or config.data_dir)
    photos = dataset.photos(arguments.split or config.val_split, hierarchy)
    cells = []
    for _, image, truth in itertools.islice(photos, arguments.photos):
        for labels in (truth, parser(image).labels):
            centres, present = joint_centres(labels[None, ::_STRIDE, ::_STRIDE], hierarchy)
            centres, present = _STRIDE * np.asarray(centres[0]), np.asarray(present[0])
            cells.append(draw_joints(image, centres, present, hierarchy.joints))
    rows = [cells[i : i + 4] for i in range(0, len(cells), 4)]
    write_bytes(arguments.output, picture_jpeg(contact_sheet(rows, height=320)))
    print(f"written to {arguments.output}: two photos a row, each with true and predicted joints")


def draw_joints(
    image: UInt8[np.ndarray, "h w 3"],
    centres: Int[np.ndarray, "joints 2"],
    present: Bool[np.ndarray, " joints"],
    joints: Sequence[tuple[str, tuple[int, ...]]],
) -> UInt8[np.ndarray, "h w 3"]:
    """The photo, lightened, with a labelled dot at the (x, y) of every joint that is present."""
    size = max(9, round(max(image.shape) / 32))
    font, radius = ImageFont.load_default(size), max(2, size // 3)
    sheet = Image.fromarray((image // 2 + 110).astype(np.uint8))
    draw = ImageDraw.Draw(sheet)
    for i, (name, _) in enumerate(joints):
        if present[i]:
            x, y = map(int, centres[i])
            hue = colorsys.hsv_to_rgb(i / len(joints), 1.0, 0.85)
            fill = tuple(round(255 * channel) for channel in hue)
            box = (x - radius, y - radius, x + radius, y + radius)
            draw.ellipse(box, fill=fill, outline="white")
            short = "".join(word[0] for word in name.split("_")).upper()
            draw.text((x + radius + 1, y), short, fill=fill, font=font, anchor="lm")
    return np.asarray(sheet)


if __name__ == "__main__":
    try:
        main()
    except (InputError, OSError) as error:
        sys.exit(f"figure7: {error}")
