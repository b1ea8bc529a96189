"""CNIF on Fashion Clothing (18 classes) with the settings of the paper (section 4.1).

    hparse build fashion_clothing --manual_dir=RAW --data_dir=data
    hparse import-weights --format=resnet101-deepstem resnet101-imagenet.pth \\
        --workdir=weights/resnet101
    hparse train --config=configs/fashion_clothing.py --workdir=runs/fashion_clothing \\
        --config.init_from=weights/resnet101 --config.channels=bgr \\
        --config.mean=122.67891434,116.66876762,104.00698793 --config.std=1,1,1

The ImageNet weights are those that the paper starts from; docs/weights.md lists other formats.
Hardware: the paper used four V100 GPUs with 32 GB each. Hours and score reached: not yet run at
full size here; no score was measured with these settings.
Published: F1 58.12 with an ImageNet-pretrained backbone (CNIF Table 5).

A small network trained from scratch on a CPU, the one in the package: configs/street.py.
"""

from hparse_jax.config import Config


def get_config() -> Config:
    return Config(
        dataset="fashion_clothing", pretrained=True, checkpoint_every=500, eval_every=2000
    )
