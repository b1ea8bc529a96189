"""CNIF on Fashion Clothing (18 classes), with the settings of the paper, section 4.1.

    hparse build fashion_clothing --manual_dir=RAW --data_dir=data
    hparse train --config=configs/fashion_clothing.py --workdir=runs/fashion_clothing

Hardware and hours: the paper used four 32 GB V100; not yet run at full size here.
Expected: the paper reports F1 58.12 after ImageNet initialisation (its Table 5).

On a CPU, from scratch, a small network on photos at 0.4 of their size (the recorded run of
experiments/README.md):

    hparse train --config=configs/fashion_clothing.py --workdir=runs/small \\
        --config.model.depth=18 --config.model.width=0.5 --config.model.stem=conv7 \\
        --config.crop=321,209 --config.scale=0.3,0.55 --config.eval_scales=0.4, \\
        --config.batch_size=8 --config.epochs=30 --config.optimizer.base_lr=0.02 \\
        --config.optimizer.warmup_steps=100 --config.eval_every=400
"""

from hparse_jax.config import Config


def get_config() -> Config:
    return Config(dataset="fashion_clothing", checkpoint_every=500, eval_every=2000)
