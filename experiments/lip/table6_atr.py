"""LIP Table 6, left: trained on LIP, tested on ATR over the common classes.

    hparse evaluate --workdir=runs/deeplab_v2 --dataset=atr --split=test \\
        --correspondence=lip_atr --output=deeplab_v2_atr.json
    python experiments/lip/table6_atr.py DeepLabV2=deeplab_v2_atr.json --chart=table6_atr.jpg

The text of the paper at hand has lost this table but for three numbers that belong to rows unknown
(21.79, 43.97, 46.85): only ours are printed.
"""

from beside import ours, overall

if __name__ == "__main__":
    ours(__doc__, overall, "table6_atr", "trained on LIP, tested on ATR, common classes")
