"""CNIF on PASCAL-Person-Part (7 classes) with the settings of the paper (section 4.1).

    hparse build pascal_person_part --manual_dir=RAW --data_dir=data
    hparse import-weights --format=resnet101-deepstem resnet101-imagenet.pth \\
        --workdir=weights/resnet101
    hparse train --config=configs/pascal_person_part.py --workdir=runs/pascal_person_part \\
        --config.init_from=weights/resnet101 --config.channels=bgr \\
        --config.mean=122.67891434,116.66876762,104.00698793 --config.std=1,1,1

The ImageNet weights are those that the paper starts from; docs/weights.md lists other formats.
Hardware: the paper used four V100 GPUs with 32 GB each. Hours and score reached: not yet run at
full size here; no score was measured with these settings.
Published: mean IoU 70.76 with an ImageNet-pretrained backbone (CNIF Table 3). The paper's test
protocol:

    hparse evaluate --workdir=runs/pascal_person_part --scales=0.5,0.75,1,1.25,1.5 --flip
"""

from hparse_jax.config import Config


def get_config() -> Config:
    return Config(
        dataset="pascal_person_part", pretrained=True, checkpoint_every=500, eval_every=2000
    )
