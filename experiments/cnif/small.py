"""The settings of the recorded ablation: a network and a schedule that two cores can afford.

    hparse build fashion_clothing --manual_dir=RAW --data_dir=data
    python experiments/cnif/ablation.py --folder=runs/ablation

One network and one schedule for all rows of the table, from random weights: a ResNet-18 with a
quarter of the channels, on photos at a quarter of their size. As in the paper: output stride 16,
SGD with momentum 0.9, the poly schedule, equal weights of the levels. Not as in the paper: smaller
batches and crops, fewer epochs, a larger learning rate with warm-up, less decay.
"""

from hparse_jax.config import Config, ModelConfig, OptimizerConfig
from hparse_jax.errors import InputError

# Clothing Co-Parsing's photos are 550 x 826, the synthetic people 130 to 192 pixels high.
_SIZES = {
    "fashion_clothing": {
        "crop": (161, 113),
        "scale": (0.2, 0.35),
        "eval_side": 240,
        "epochs": 40,
    },
    "synthetic": {
        "crop": (129, 97),
        "scale": (0.65, 0.95),
        "eval_scales": (0.85,),
        "epochs": 20,
    },
}


def get_config(dataset: str = "fashion_clothing") -> Config:
    """Raises InputError for a dataset whose photos have other sizes."""
    if dataset not in _SIZES:
        raise InputError(
            f"dataset {dataset}: no small settings; known are {', '.join(_SIZES)}; give the config "
            "file of another dataset, e.g. --config=configs/pascal_person_part.py"
        )
    return Config(
        dataset=dataset,
        batch_size=8,
        log_every=100,
        checkpoint_every=500,
        keep_checkpoints=1,
        model=ModelConfig(depth=18, width=0.25, stem="conv7"),
        optimizer=OptimizerConfig(base_lr=0.05, warmup_steps=100, weight_decay=1e-4),
        **_SIZES[dataset],
    )
