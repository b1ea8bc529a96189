"""CNIF on LIP (20 classes), with the settings of the paper, section 4.1.

    hparse build lip --manual_dir=RAW --data_dir=data
    hparse train --config=configs/lip.py --workdir=runs/lip

Hardware and hours: the paper used four 32 GB V100; not yet run at full size here.
Expected: the paper reports mean IoU 57.74 on val after ImageNet initialisation (its Table 1).
Test as the paper does: hparse evaluate --workdir=DIR --scales=0.5,0.75,1,1.25,1.5 --flip
"""

from hparse_jax.config import Config


def get_config() -> Config:
    return Config(dataset="lip", checkpoint_every=500, eval_every=2000)
