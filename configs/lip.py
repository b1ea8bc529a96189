"""CNIF on LIP (20 classes) with the settings of the paper (section 4.1).

    hparse build lip --manual_dir=RAW --data_dir=data
    hparse import-weights --format=resnet101-deepstem resnet101-imagenet.pth \\
        --workdir=weights/resnet101
    hparse train --config=configs/lip.py --workdir=runs/lip \\
        --config.init_from=weights/resnet101 --config.channels=bgr \\
        --config.mean=122.67891434,116.66876762,104.00698793 --config.std=1,1,1

The ImageNet weights are those that the paper starts from; docs/weights.md lists other formats.
Hardware: the paper used four V100 GPUs with 32 GB each. Hours and score reached: not yet run at
full size here; no score was measured with these settings.
Published: mean IoU 57.74 on val with an ImageNet-pretrained backbone (CNIF Table 1).
The authors' test protocol: the paper says "times the original size", their code first brings the
longer side to 513 pixels (config.eval_side; 1.65 times for a median photo of 178 x 311):

    hparse evaluate --workdir=runs/lip --scales=0.5,0.75,1,1.25,1.5 --flip
"""

from hparse_jax.config import Config


def get_config() -> Config:
    return Config(
        dataset="lip", pretrained=True, eval_side=513, checkpoint_every=500, eval_every=2000
    )
