"""The parser that comes with the package: CNIF with a ResNet-18 of half the channels, from scratch.

    hparse build fashion_clothing --manual_dir=RAW --data_dir=data
    hparse train --config=configs/street.py:small --workdir=runs/street_small && \\
    hparse train --config=configs/street.py --workdir=runs/street \\
        --config.init_from=runs/street_small
    hparse pack --workdir=runs/street --output=street.safetensors --note="CNIF (ResNet-18, half \\
        of the channels) trained on the 751 training photos of Clothing Co-Parsing: street \\
        photographs of one adult; see docs/model_card.md"

RAW holds Clothing Co-Parsing alone (751 training photos). The first run sees small crops of photos
at a quarter of their size; the second one takes its weights and sees the photos at half of their
size. Hardware: two cores of a CPU. Hours and scores reached: docs/model_card.md.
"""

from hparse_jax.config import Config, LossConfig, ModelConfig, OptimizerConfig
from hparse_jax.errors import InputError

VARIANTS = ("large", "small")


def get_config(stage: str = "large") -> Config:
    if stage not in VARIANTS:
        raise InputError(f"stage {stage}: one of {', '.join(VARIANTS)}")
    config = Config(
        dataset="fashion_clothing",
        batch_size=8,
        crop=(321, 217),
        scale=(0.36, 0.75),
        jitter=(0.1, 0.5, 0.5, 0.1),
        eval_side=560,
        epochs=64,
        log_every=50,
        eval_every=1500,
        checkpoint_every=250,
        model=ModelConfig(depth=18, width=0.5, stem="conv7"),
        optimizer=OptimizerConfig(base_lr=0.03, warmup_steps=200, weight_decay=5e-4),
        loss=LossConfig(lovasz_weight=1.0, lovasz_stride=3),
    )
    if stage == "small":
        config.crop, config.scale, config.eval_side = (161, 113), (0.18, 0.38), 240
        config.epochs, config.optimizer.base_lr, config.eval_every = 60, 0.05, 0
    return config
