"""LIP's baselines on LIP (20 classes) with the settings of the paper (LIP section 5.1).

    hparse build lip --manual_dir=RAW --data_dir=data
    hparse import-weights --format=torchvision-vgg16 vgg16.pth --workdir=weights/vgg16
    hparse train --config=configs/lip_baselines.py:attention --workdir=runs/attention \\
        --config.init_from=weights/vgg16
    hparse train --config=configs/lip_baselines.py:attention-ssl --workdir=runs/attention_ssl \\
        --config.init_from=runs/attention
    hparse train --config=configs/lip_baselines.py:attention-more --workdir=runs/attention_more \\
        --config.init_from=runs/attention

Variants: segnet, fcn8s, deeplab_v2 and attention train for 30 epochs, and so does deeplab_largefov,
which LIP has in its Table 5 alone. With -ssl: fine-tuning for 20 epochs with the
structure-sensitive loss; with -more: its control, the same 20 epochs with plain cross-entropy. Both
need config.init_from to be meaningful.

Batch size, crop, epochs, momentum and weight decay are the paper's. From LIP's released code
(Engineering-Course/LIP_SSL, human/config/attention): the scales, which are 0.6, 0.8, 1, 1.2 and 1.4
and nothing between, and the learning rate of Attention, which is constant (its solver would lower
the rate every 200,000 iterations and ends after 100,000). The other rates are those of the SegNet,
FCN and DeepLab papers, poly for DeepLab; that they are constant for SegNet and FCN was not checked
against the papers' text. As in the released networks biases learn twice as fast as kernels (but in
SegNet) and do not decay, and DeepLab's last layer, fc8, learns ten times as fast as the others. The
released solver of Attention differs in more: it makes steps of 2 images, and its start is a network
trained on COCO, for which the layers that weigh scales learn at the rate of the others; here they
do so, too, though they start from random weights. The four losses of deeplab_v2 add up, and its
rate is not lowered for that; experiments/README.md has a small run in which a quarter of it was
better.
VGG-16 weights: docs/weights.md, "Training from a backbone".

Hardware: the paper used one Titan X with 12 GB, for two days (training) and one and a half
(fine-tuning); not yet run at full size here; no score was measured with these settings.
Published with an ImageNet-pretrained backbone: mean IoU 18.17, 28.29, 41.64 and 42.92 on val; with
SSL 42.44 (deeplab_v2) and 44.73 (attention) (LIP Table 2).
"""

import dataclasses

from hparse_jax.config import Config, LossConfig, ModelConfig, OptimizerConfig
from hparse_jax.errors import InputError

RATES = {
    "segnet": 0.1,
    "fcn8s": 1e-4,
    "deeplab_largefov": 1e-3,
    "deeplab_v2": 1e-3,
    "attention": 1e-4,
}
VARIANTS = tuple(name + step for name in RATES for step in ("", "-ssl", "-more"))


def get_config(variant: str = "attention") -> Config:
    name, _, step = variant.partition("-")
    if variant not in VARIANTS:
        known = ", ".join(RATES)
        raise InputError(f"variant {variant}: one of {known}, with -ssl or -more for the next step")
    config = Config(
        dataset="lip",
        batch_size=10,
        epochs=30,
        crop=(321, 321),
        pretrained=True,
        scale_choices=(0.6, 0.8, 1.0, 1.2, 1.4),
        checkpoint_every=500,
        eval_every=3000,
        model=ModelConfig(name=name),
        # SegNet has batch norm and, as in its paper, one rate for all layers. Power 0 is a constant
        # rate.
        optimizer=OptimizerConfig(
            base_lr=RATES[name],
            power=0.9 if name.startswith("deeplab") else 0.0,
            new_layers_multiplier=1.0 if name in ("segnet", "fcn8s") else 10.0,
            bias_multiplier=1.0 if name == "segnet" else 2.0,
        ),
        # the loss of each scale of Attention and DeepLabV2 weighs as much as that of their fusion
        loss=LossConfig(auxiliary_weight=1.0),
    )
    if step == "":
        return config
    structure = "product" if step == "ssl" else "none"
    loss = dataclasses.replace(config.loss, structure=structure)
    return dataclasses.replace(config, epochs=20, loss=loss)
