"""LIP Table 6, left: trained on LIP, tested on ATR over the common classes.

    hparse evaluate --workdir=runs/deeplab_v2 --dataset=atr --split=test \\
        --correspondence=lip_atr --output=deeplab_v2_atr.json
    python experiments/lip/table6_atr.py DeepLabV2=deeplab_v2_atr.json

The paper's numbers are not legible in the copy at hand: only ours are printed.
"""

import json
import pathlib
import sys

from beside import show

if __name__ == "__main__":
    rows = {}
    for item in sys.argv[1:]:
        name, _, file = item.partition("=")
        report = json.loads(pathlib.Path(file).read_text())
        (common,) = [level for level in report["levels"] if level["name"] == "common"]
        rows[name] = [100 * common["pixel_accuracy"], 100 * common["mean_iou"]]
    show(["pixel_accuracy", "mean_iou"], rows)
