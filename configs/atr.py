"""CNIF on ATR (18 classes) with the settings of the paper (section 4.1).

    hparse build atr --manual_dir=RAW --data_dir=data
    hparse import-weights --format=resnet101-deepstem resnet101-imagenet.pth \\
        --workdir=weights/resnet101
    hparse train --config=configs/atr.py --workdir=runs/atr \\
        --config.init_from=weights/resnet101 --config.channels=bgr \\
        --config.mean=122.67891434,116.66876762,104.00698793 --config.std=1,1,1

The ImageNet weights are those that the paper starts from; docs/weights.md lists other formats.
Hardware: the paper used four V100 GPUs with 32 GB each. Hours and score reached: not yet run at
full size here; no score was measured with these settings.
Published: F1 85.51 with an ImageNet-pretrained backbone (CNIF Table 4). The paper's test protocol:

    hparse evaluate --workdir=runs/atr --split=test --scales=0.5,0.75,1,1.25,1.5 --flip

Without lists the splits are random, 6,003 : 700 : 1,000 photos. With the public lists of 6,703 and
1,000 (docs/datasets.md) there is no split val: train with --config.eval_every=0.
"""

from hparse_jax.config import Config


def get_config() -> Config:
    return Config(dataset="atr", pretrained=True, checkpoint_every=500, eval_every=2000)
