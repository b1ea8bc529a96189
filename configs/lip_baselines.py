"""LIP's four baselines on LIP (20 classes), as LIP section 5.1 trains them.

    hparse build lip --manual_dir=RAW --data_dir=data
    hparse train --config=configs/lip_baselines.py:attention --workdir=runs/attention
    hparse train --config=configs/lip_baselines.py:attention-ssl --workdir=runs/attention_ssl \\
        --config.init_from=runs/attention
    hparse train --config=configs/lip_baselines.py:attention-more --workdir=runs/attention_more \\
        --config.init_from=runs/attention

Variants: segnet, fcn8s, deeplab_v2, attention: 30 epochs; with -ssl: 20 more epochs with the
structure-sensitive loss; with -more: the same 20 epochs with plain cross-entropy, the control. The
last two mean little without config.init_from.
From the paper: batch, crop, epochs, momentum, decay. The photos' scales and Attention's rate are
those of its released code; the other rates are those of SegNet's, FCN's and DeepLab's own papers.
Weights of VGG-16: docs/weights.md, "Training from a backbone".
Hardware and hours: the paper used one 12 GB Titan X, two days and one and a half; not yet run at
full size here.
Expected after ImageNet initialisation: mean IoU 18.17, 28.29, 41.64, 42.92 on val, with SSL 42.44
(deeplab_v2) and 44.73 (attention) (its Table 2).
"""

import dataclasses

from hparse_jax.config import Config, LossConfig, ModelConfig, OptimizerConfig
from hparse_jax.errors import InputError

RATES = {"segnet": 0.1, "fcn8s": 1e-4, "deeplab_v2": 1e-3, "attention": 1e-4}


def get_config(variant: str = "attention") -> Config:
    name, _, step = variant.partition("-")
    if name not in RATES or variant.removeprefix(name) not in ("", "-ssl", "-more"):
        known = ", ".join(RATES)
        raise InputError(f"variant {variant}: one of {known}, with -ssl or -more for the next step")
    config = Config(
        dataset="lip",
        batch_size=10,
        epochs=30,
        crop=(321, 321),
        scale=(0.6, 1.4),
        checkpoint_every=500,
        eval_every=3000,
        model=ModelConfig(name=name),
        # for pre-trained VGG layers; the others, new or without pre-trained weights here, learn ten
        # times as fast (in the released networks only the last layer does). SegNet has batch norm
        # and, as in its paper, one rate.
        optimizer=OptimizerConfig(
            base_lr=RATES[name], new_layers_multiplier=1.0 if name == "segnet" else 10.0
        ),
        # the scales of Attention weigh as much as their fusion
        loss=LossConfig(auxiliary_weight=1.0),
    )
    if step == "":
        return config
    structure = "product" if step == "ssl" else "none"
    loss = dataclasses.replace(config.loss, structure=structure)
    return dataclasses.replace(config, epochs=20, loss=loss)
