"""The preset of CNIF's follow-up, against what its repository's files say."""

import pathlib
import runpy

from hparse_jax.config import validate

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"


def test_the_settings_are_those_of_the_follow_ups_files():
    config = runpy.run_path(str(CONFIGS / "lip_lab.py"))["get_config"]()
    validate(config)
    # train/train_lip.py and train_pascal.sh
    assert config.eval_side == 473
    assert (config.crop, config.epochs, config.batch_size) == ((473, 473), 151, 20)
    optimizer = config.optimizer
    assert (optimizer.base_lr, optimizer.power, optimizer.momentum) == (1e-2, 0.9, 0.9)
    assert (optimizer.weight_decay, optimizer.decay_all) == (5e-4, True)
    assert config.keep_best
    assert config.eval_every == 10 * 30462 // config.batch_size
    # dataset/data_lip.py; its mean is in the order BGR
    assert (config.scale, config.flip, config.rotation) == ((0.5, 1.5), True, 20)
    assert config.jitter == (0.1, 0.5, 0.5, 0.1)
    assert config.mean[::-1] == (104.00698793, 116.66876762, 122.67891434)
    assert (config.channels, config.std) == ("bgr", (1, 1, 1))
    # utils/lovasz_loss.py
    loss = config.loss
    assert (loss.level_weights, loss.auxiliary_weight) == ((1, 0.4, 0.4), 0.4)
    assert (loss.lovasz_weight, loss.class_weights) == (1, "none")
    # modules/com_mod.py
    model = config.model
    assert (model.depth, model.stem, model.output_stride) == (101, "deep", 16)
    assert (model.multi_grid, model.auxiliary) == (True, True)
