"""CNIF on ATR (18 classes), with the settings of the paper, section 4.1.

    hparse build atr --manual_dir=RAW --data_dir=data
    hparse train --config=configs/atr.py --workdir=runs/atr

Hardware and hours: the paper used four 32 GB V100; not yet run at full size here.
Expected: the paper reports F1 85.51 after ImageNet initialisation (its Table 4).
Test as the paper does: hparse evaluate --workdir=DIR --split=test \\
    --scales=0.5,0.75,1,1.25,1.5 --flip
"""

from hparse_jax.config import Config


def get_config() -> Config:
    return Config(dataset="atr", checkpoint_every=500, eval_every=2000)
