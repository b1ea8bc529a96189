"""LIP Table 4: IoU of every class on the validation set.

python experiments/lip/table4.py DeepLabV2=deeplab_v2.json --chart=table4.jpg
"""

from beside import ours, per_class

if __name__ == "__main__":
    ours(__doc__, per_class, "table4", "LIP val: IoU")
