"""CNIF on synthetic people (LIP's 20 classes) with the settings of the paper (section 4.1).

    hparse build synthetic --data_dir=data
    hparse train --config=configs/synthetic.py --workdir=runs/synthetic

Hardware, hours and score reached: not yet run at full size. `make demo` trains a small network:
mean IoU 0.436 on the parts, 210 s in total on two CPU cores; experiments/demo.py has its overrides.
The synthetic people are 130 to 192 pixels high, hence a smaller crop than the paper's 473.
"""

from hparse_jax.config import Config


def get_config() -> Config:
    return Config(dataset="synthetic", crop=(193, 193), checkpoint_every=500, eval_every=1000)
