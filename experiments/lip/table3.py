"""LIP Table 3: the same scores on the test set, whose labels only LIP's server has.

    hparse predict --workdir=runs/deeplab_v2 --split=test --output=submission
    python experiments/lip/table3.py DeepLabV2=server.json

server.json: {"pixel_accuracy": ..., "mean_accuracy": ..., "mean_iou": ...}, the server's answer to
submission/lip_test.zip as fractions.
"""

from beside import ours, overall

if __name__ == "__main__":
    ours(__doc__, overall, "table3", "LIP test")
