"""LIP Table 2: pixel accuracy, mean accuracy and mean IoU on the validation set.

hparse evaluate --workdir=runs/deeplab_v2 --output=deeplab_v2.json
python experiments/lip/table2.py DeepLabV2=deeplab_v2.json --chart=table2.jpg
"""

from beside import ours, overall

if __name__ == "__main__":
    ours(__doc__, overall, "table2", "LIP val")
