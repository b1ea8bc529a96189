"""CNIF on drawn people (LIP's 20 classes), with the settings of the paper, section 4.1.

    hparse build synthetic --data_dir=data
    hparse train --config=configs/synthetic.py --workdir=runs/synthetic

Hardware and hours: not yet run at full size. On a CPU `make demo` trains a small network in
minutes; experiments/demo.py prints its overrides, experiments/README.md has its scores.
The people are 130 to 192 pixels high, so the crop is smaller than the paper's 473.
"""

from hparse_jax.config import Config


def get_config() -> Config:
    return Config(dataset="synthetic", crop=(193, 193), checkpoint_every=500, eval_every=1000)
