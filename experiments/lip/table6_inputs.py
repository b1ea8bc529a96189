"""LIP Table 6, right: mean IoU with the photos' longer side at 153, 321 and 513 pixels.

    hparse evaluate --workdir=runs/deeplab_v2 --input_sizes=153,321,513 --output=deeplab_v2.json
    python experiments/lip/table6_inputs.py DeepLabV2=deeplab_v2.json --chart=table6_inputs.jpg

The paper's copy names the first and the last size only; 321 is the size of its training.
"""

from beside import ours, part

if __name__ == "__main__":
    ours(__doc__, part("input_sizes"), "table6_input_sizes", "mean IoU by longer side in pixels")
