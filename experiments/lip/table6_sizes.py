"""LIP Table 6, middle: mean IoU of small, medium and large objects.

hparse evaluate --workdir=runs/deeplab_v2 --object_sizes --output=deeplab_v2.json
python experiments/lip/table6_sizes.py DeepLabV2=deeplab_v2.json --chart=table6_sizes.jpg
"""

from beside import ours, part

if __name__ == "__main__":
    ours(__doc__, part("object_sizes"), "table6_object_sizes", "mean IoU by object size")
