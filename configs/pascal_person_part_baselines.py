"""LIP's baselines on PASCAL-Person-Part (7 classes) with the settings of LIP section 5.1.

    hparse build pascal_person_part --manual_dir=RAW --data_dir=data
    hparse import-weights --format=torchvision-vgg16 vgg16.pth --workdir=weights/vgg16
    hparse train --config=configs/pascal_person_part_baselines.py:attention \\
        --workdir=runs/attention --config.init_from=weights/vgg16
    hparse train --config=configs/pascal_person_part_baselines.py:attention-ssl \\
        --workdir=runs/attention_ssl --config.init_from=runs/attention

Variants as in configs/lip_baselines.py. Hardware: not yet run at full size here; no score was
measured with these settings.
Published with an ImageNet-pretrained backbone: mean IoU 51.78 (deeplab_largefov), 56.39
(attention) and 59.36 (attention-ssl) (LIP Table 5).
"""

import dataclasses
import pathlib
import runpy

from hparse_jax.config import Config

LIP = runpy.run_path(str(pathlib.Path(__file__).with_name("lip_baselines.py")))
VARIANTS = LIP["VARIANTS"]


def get_config(variant: str = "attention") -> Config:
    return dataclasses.replace(LIP["get_config"](variant), dataset="pascal_person_part")
